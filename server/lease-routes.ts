/** `/v1/leases`: times that many keys share, and that whoever asked for them keeps going. */

import type { Answer } from "./answer.ts";
import type { ClientPort } from "./client-port.ts";
import { durationForm } from "./duration.ts";
import { Fields, reading } from "./json-fields.ts";
import { bareIn, jsonAnswer, jsonIn, readAnswer, type JsonCall } from "./json-routes.ts";
import { pathOf } from "./key-path.ts";
import { methodNotAllowed } from "./key-routes.ts";
import { refusal } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { queryOf } from "./key-path.ts";

const asWrite = { write: true };
const prefix = "/v1/leases/";

/** `POST {ttl}`: 201 `{id, ttlMs}`. */
export async function answerLeases(call: JsonCall, store: ClientPort): Promise<Answer> {
  const { method } = call.head;
  if (method !== "POST") return methodNotAllowed(method, "POST");
  const read = jsonIn(call);
  if (!read.ok) return refusal(read, asWrite);
  const asked = reading(() => {
    const fields = new Fields(read.value, "");
    const ttlMs = fields.duration("ttl") ?? fields.fail("ttl", durationForm);
    fields.end();
    return ttlMs;
  });
  if (!asked.ok) return refusal(asked, asWrite);
  const ttlMs = asked.value;
  const done = await store.sessions.grantLease(ttlMs, read.once);
  if (!done.ok) return refusal(done, asWrite);
  const { revision } = done;
  return jsonAnswer(201, { id: revision, ttlMs }, { "X-KV-Revision": String(revision) });
}

/** `GET`, `DELETE` and `POST …/keepalive` of one lease. */
export async function answerLease(call: JsonCall, store: ClientPort): Promise<Answer> {
  const { head, target } = call;
  const [text = "", action, ...rest] = pathOf(target).slice(prefix.length).split("/");
  const lease = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : NaN;
  const isPath = rest.length === 0 && (action === undefined || action === "keepalive");
  if (!Number.isSafeInteger(lease) || !isPath) {
    const detail = "the path is /v1/leases/ID or /v1/leases/ID/keepalive";
    const write = head.method !== "GET" && head.method !== "HEAD";
    return refusal({ ok: false, code: "not_found", detail }, { write });
  }
  if (action === "keepalive") {
    if (head.method !== "POST") return methodNotAllowed(head.method, "POST");
    return keepAlive(call, lease, store);
  }
  switch (head.method) {
    case "GET":
    case "HEAD":
      return show(call, lease, store);
    case "DELETE":
      return revoke(call, lease, store);
    default:
      return methodNotAllowed(head.method, "GET, HEAD, DELETE");
  }
}

async function show({ target }: JsonCall, lease: number, store: ClientPort): Promise<Answer> {
  const parsed = parseQuery(queryOf(target), { taken: [], later: [] });
  if (!parsed.ok) return refusal(parsed);
  const answer = await store.sessions.lease(lease);
  if (!answer.ok) return refusal(answer);
  const { ttlMs, remainingMs, revision } = answer;
  return readAnswer({ id: lease, ttlMs, remainingMs }, revision);
}

async function keepAlive(call: JsonCall, lease: number, store: ClientPort): Promise<Answer> {
  const read = bareIn(call);
  if (!read.ok) return refusal(read, asWrite);
  const done = await store.sessions.keepLeaseAlive(lease, read.once);
  if (!done.ok) return refusal(done, asWrite);
  const { ttlMs, revision } = done;
  return jsonAnswer(200, { id: lease, ttlMs }, { "X-KV-Revision": String(revision) });
}

async function revoke(call: JsonCall, lease: number, store: ClientPort): Promise<Answer> {
  const read = bareIn(call);
  if (!read.ok) return refusal(read, asWrite);
  const done = await store.sessions.revokeLease(lease, read.once);
  if (!done.ok) return refusal(done, asWrite);
  const { deleted, revision } = done;
  return jsonAnswer(200, { deleted, revision }, { "X-KV-Revision": String(revision) });
}
