/** What the pages of the browser's tests do. Which of it, and with which nodes, is in their address. */

import { connect, KvError } from "../../client/client.ts";
import { exercise } from "./client-exercise.ts";

const asked = new URLSearchParams(location.search);
const nodes = asked.get("nodes") ?? "";
const since = Number(asked.get("since"));
const [node = ""] = nodes.split(",");

/** The same changes by the client and by the browser's own means, as they come. */
async function watches(): Promise<void> {
  const events = new EventSource(`${node}/v1/watch?prefix=w/&since=${since}`);
  for (const type of ["put", "delete", "expire"]) {
    events.addEventListener(type, (event: MessageEvent<string>) => {
      const { key, value, revision } = JSON.parse(event.data) as Record<string, unknown>;
      console.log("event", revision, type, key, value);
    });
  }
  events.addEventListener("open", () => console.log("event source open"));
  events.addEventListener("error", () => {
    console.log("event source", events.readyState === events.CLOSED ? "closed" : "cut off");
  });
  for await (const change of connect(nodes, { fetch }).watch({ prefix: "w/", since })) {
    console.log("change", change.revision, change.type, change.key, change.text());
  }
}

/** All that a page may try on a store that does not know it. */
async function trespass(): Promise<void> {
  const key = `${node}/v1/kv/k`;
  const refused = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => "done",
      (error: unknown) => (error instanceof TypeError ? "refused" : String(error)),
    );
  console.log("get", await refused(fetch(key)));
  console.log("put", await refused(fetch(key, { method: "PUT", body: "stolen" })));
  console.log("delete", await refused(fetch(key, { method: "DELETE" })));
  console.log("counted", await refused(fetch(`${key}?op=incr`, { method: "POST" })));
  // The browser sends this one without asking, and shows no answer.
  const blind = await fetch(`${key}?op=incr`, { method: "POST", mode: "no-cors", body: "x" });
  console.log("blind", blind.type, blind.status);
  console.log("embedded", await refused(fetch(key, { mode: "no-cors" })));
  const events = new EventSource(`${node}/v1/watch`);
  await new Promise((resolve) => events.addEventListener("error", resolve));
  console.log("events", events.readyState === events.CLOSED ? "refused" : "tried again");
}

/** What the answers' headers tell a page, and that it may ask with all of ours. */
async function headers(): Promise<void> {
  const key = `${node}/v1/kv/headers`;
  const condition = { "If-None-Match": "*", "Idempotency-Key": "once" };
  const lives = { "X-TTL": "1h", "Content-Type": "image/png", Authorization: "Bearer token" };
  const put = await fetch(key, { method: "PUT", body: "v", headers: { ...condition, ...lives } });
  console.log("put", put.status, put.headers.get("etag") === `"${(await put.json()).revision}"`);
  const { headers: told } = await fetch(key, { method: "HEAD" });
  const names = ["content-type", "content-length", "x-kv-level"];
  console.log("head", ...names.map((name) => told.get(name)), Number(told.get("x-ttl")) > 3_000);
  const refused = await fetch(key, { method: "PUT", body: "w", headers: { "X-Lease": "1" } });
  console.log("lease", refused.status, (await refused.json()).code);
  const error: unknown = await connect(nodes, { token: "token" })
    .put("headers", new Uint8Array(2 << 20))
    .catch((reason: unknown) => reason);
  if (KvError.is(error)) console.log("large", error.status, error.code, error.outcome);
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  exercise: () => exercise(nodes, "page/"),
  watches,
  trespass,
  headers,
};

await parts[asked.get("part") ?? ""]?.();
console.log("done");
