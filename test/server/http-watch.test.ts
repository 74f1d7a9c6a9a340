/** Watching over HTTP: whole revisions, from one connection to the next, over several endpoints. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HttpClient } from "../../server/http-client.ts";
import type { WatchBatches } from "../../server/watch/watch-port.ts";

type Script = (request: IncomingMessage, response: ServerResponse) => void;

const open = new Set<Server>();

/** Answers one request after the other by the scripts; the last one again and again. */
async function endpoint(...scripts: Script[]): Promise<{ url: string; targets: string[] }> {
  const targets: string[] = [];
  const server = createServer((request, response) => {
    targets.push(request.url ?? "");
    const script = scripts.length > 1 ? scripts.shift() : scripts[0];
    script?.(request, response);
  });
  open.add(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, targets };
}

test.after(() => {
  for (const server of open) {
    server.closeAllConnections();
    server.close();
  }
});

const progress = (revision: number): object => ({ type: "progress", revision });
const put = (revision: number, key: string, last = true): object => ({
  ...{ type: "put", key, value: "v", revision },
  ...(last && { last }),
});

const lines = (objects: readonly object[]): string =>
  objects.map((object) => `${JSON.stringify(object)}\n`).join("");

/** Sends these, and then ends, breaks off, or stays silent. */
const gives =
  (how: "ends" | "breaks" | "stays", ...objects: object[]): Script =>
  (_request, response) => {
    response.writeHead(200, { "Content-Type": "application/x-ndjson" });
    response.write(lines(objects), () => {
      if (how === "ends") response.end();
      else if (how === "breaks") response.destroy();
    });
  };

const refuses =
  (status: number, problem: object): Script =>
  (_request, response) => {
    response.writeHead(status, { "Content-Type": "application/problem+json" });
    response.end(JSON.stringify(problem));
  };
const compacted = refuses(410, { code: "compacted", detail: "gone", oldestRevision: 90 });

/** The first so many changes, as texts; fewer where it ends before. */
async function taken(batches: WatchBatches, count: number): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of batches) {
    for (const event of batch) {
      if (event.type === "over") return [...found, event.failure.code];
      if (event.type !== "progress") found.push(`${event.revision} ${event.key}`);
    }
    if (found.length >= count) break;
  }
  return found;
}

async function watched(urls: string[], count: number, since?: number): Promise<string[]> {
  const answer = await new HttpClient(urls).watch(since === undefined ? {} : { since });
  return answer.ok ? taken(answer.batches, count) : [answer.code];
}

test("a connection that ends or breaks off goes on elsewhere, behind the last whole revision", async () => {
  const first = await endpoint(
    gives("ends", progress(4), put(5, "a"), put(6, "b", false)),
    gives("stays", put(8, "d"), progress(8)),
  );
  const second = await endpoint(gives("breaks", put(6, "b", false), put(6, "c"), progress(7)));
  const found = await watched([first.url, second.url], 4);
  assert.equal(found, ["5 a", "6 b", "6 c", "8 d"]);
  assert.equal(first.targets, ["/v1/watch?", "/v1/watch?since=7"]);
  assert.equal(second.targets, ["/v1/watch?since=5"]);
});

test("a line that comes in pieces is one", async () => {
  const [head, tail] = [
    lines([progress(1), put(2, "ä")]).slice(0, 50),
    lines([progress(1), put(2, "ä")]).slice(50),
  ];
  const pieces: Script = (_request, response) => {
    response.writeHead(200);
    response.write(head, () => setTimeout(() => response.write(tail), 20));
  };
  const { url } = await endpoint(pieces);
  assert.equal(await watched([url], 1), ["2 ä"]);
});

test("an endpoint that does not remember, or is not ready, leaves it to another", async () => {
  const first = await endpoint(compacted);
  const second = await endpoint(refuses(503, { code: "no_leader", detail: "none" }));
  const third = await endpoint(gives("stays", put(6, "a")));
  assert.equal(await watched([first.url, second.url, third.url], 1, 5), ["6 a"]);
});

test("one that may remember is waited for while the others do not", async () => {
  const first = await endpoint(compacted);
  const notReady = refuses(503, { code: "no_leader", detail: "none" });
  const second = await endpoint(gives("ends", put(5, "a")), notReady, gives("stays", put(6, "b")));
  assert.equal(await watched([first.url, second.url], 2, 4), ["5 a", "6 b"]);
});

test("where none remembers it is over, with the revision that is left", async () => {
  const first = await endpoint(compacted);
  const second = await endpoint(gives("ends", put(6, "a")), compacted);
  assert.equal(await watched([first.url], 1, 5), ["compacted"]);
  assert.equal(await watched([first.url, second.url], 2, 5), ["6 a", "compacted"]);
  const answer = await new HttpClient([first.url]).watch({ since: 5 });
  assert.is(!answer.ok && answer.oldestRevision, 90);
});

test("what is refused is told at once; so is that nobody answers", async () => {
  const { url } = await endpoint(
    refuses(400, { code: "bad_request", detail: "no", field: "since" }),
  );
  assert.equal(await watched([url], 1, 5), ["bad_request"]);
  assert.equal(await watched(["http://127.0.0.1:1"], 1), ["unreachable"]);
});

test("a signal ends it without a word, also while it waits", async () => {
  const { url } = await endpoint(gives("stays", progress(1)));
  const given = new AbortController();
  const answer = await new HttpClient([url]).watch({ signal: given.signal });
  assert.ok(answer.ok);
  const end = taken(answer.batches, 1);
  setTimeout(() => given.abort(), 30);
  assert.equal(await end, []);
});

test.run();
