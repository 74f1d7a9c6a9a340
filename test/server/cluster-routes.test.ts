/** `/v1/members` and `/v1/transfer`, asked without a network. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Failure } from "../../server/client-port.ts";
import { appOf } from "./raw-http.ts";
import { MapStore } from "./map-store.ts";

function client() {
  const store = new MapStore();
  const app = appOf(store, {});
  const ask = async (method: string, path: string, options: RequestInit = {}) => {
    const response = await app.request(`http://localhost:8001${path}`, { method, ...options });
    const text = await response.text();
    const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
    return { status: response.status, headers: response.headers, body };
  };
  return { store, ask };
}

const jsonType = { "Content-Type": "application/json" };
const based = { "If-Match": '"7"' };
const place = { raft: "127.0.0.1:63004", http: "127.0.0.1:8004" };

test("members are listed with their ETag", async () => {
  const answer = await client().ask("GET", "/v1/members");
  assert.is(answer.status, 200);
  assert.is(answer.headers.get("etag"), '"7"');
  assert.equal(answer.body, { members: [], revision: 7 });
});

test("each change is of the members that If-Match names", async () => {
  const { store, ask } = client();
  const body = (value: unknown): RequestInit => ({
    headers: { ...jsonType, ...based },
    body: JSON.stringify(value),
  });
  assert.is((await ask("POST", "/v1/members", body({ id: 4, ...place }))).status, 201);
  assert.is((await ask("POST", "/v1/members/4/promote", { headers: based })).status, 200);
  assert.is((await ask("PUT", "/v1/members/4", body(place))).status, 200);
  assert.is((await ask("DELETE", "/v1/members/4", { headers: based })).status, 200);
  assert.is((await ask("DELETE", "/v1/members/4", { headers: { "If-Match": "*" } })).status, 200);
  assert.equal(store.changes, [
    { change: { kind: "add", id: 4, ...place }, revision: 7 },
    { change: { kind: "promote", id: 4 }, revision: 7 },
    { change: { kind: "replace", id: 4, ...place }, revision: 7 },
    { change: { kind: "remove", id: 4 }, revision: 7 },
    { change: { kind: "remove", id: 4 }, revision: undefined },
  ]);
});

test("what is no change of the data takes no idempotency key", async () => {
  const { store, ask } = client();
  const headers = { ...jsonType, ...based, "Idempotency-Key": "k" };
  for (const [method, path, body] of [
    ["POST", "/v1/members", { id: 4, ...place }],
    ["PUT", "/v1/members/4", place],
    ["DELETE", "/v1/members/4", null],
    ["POST", "/v1/members/4/promote", null],
    ["POST", "/v1/transfer", { to: 2 }],
    ["POST", "/v1/compact", {}],
  ] as const) {
    const more = body === null ? {} : { body: JSON.stringify(body) };
    const answer = await ask(method, path, { headers, ...more });
    const { field, outcome } = answer.body;
    const told = [answer.status, field, outcome];
    assert.equal(told, [400, "idempotency-key", "not_applied"], `${method} ${path}`);
  }
  assert.equal(store.changes, []);
});

test("a change without If-Match is 428, with an odd one 400", async () => {
  const { store, ask } = client();
  assert.is((await ask("DELETE", "/v1/members/4")).status, 428);
  for (const odd of ["7", 'W/"7"', '"7", "8"', '"x"']) {
    assert.is((await ask("DELETE", "/v1/members/4", { headers: { "If-Match": odd } })).status, 400);
  }
  assert.equal(store.changes, []);
});

test("members that have changed meanwhile are 412 with the revision there is", async () => {
  const { store, ask } = client();
  const failure: Failure = { ok: false, code: "condition_failed", detail: "x", revision: 9 };
  store.failure = { ...failure, outcome: "not_applied" };
  const answer = await ask("DELETE", "/v1/members/4", { headers: based });
  assert.is(answer.status, 412);
  assert.is(answer.body["revision"], 9);
  assert.is(answer.headers.get("etag"), '"9"');
  assert.is(answer.body["outcome"], "not_applied");
});

test("what cannot be done now is 409", async () => {
  const { store, ask } = client();
  store.failure = { ok: false, code: "conflict", detail: "x", outcome: "not_applied" };
  assert.is((await ask("POST", "/v1/members/4/promote", { headers: based })).status, 409);
});

test("leadership is transferred", async () => {
  const { ask } = client();
  const answer = await ask("POST", "/v1/transfer", { headers: jsonType, body: '{"to":2}' });
  assert.is(answer.status, 200);
  assert.equal(answer.body, { leader: 2 });
});

const wrong: [method: string, path: string, body: string | null, status: number][] = [
  ["POST", "/v1/members", "{", 400],
  ["POST", "/v1/members", "[]", 400],
  ["POST", "/v1/members", '{"id":4}', 400],
  ["POST", "/v1/members", JSON.stringify({ id: 4, ...place, role: "voter" }), 400],
  ["POST", "/v1/members", JSON.stringify({ id: "4", ...place }), 400],
  ["POST", "/v1/members", JSON.stringify({ id: 4, ...place, raft: "nowhere" }), 400],
  ["PUT", "/v1/members/4", JSON.stringify({ ...place, http: "a:0" }), 400],
  ["POST", "/v1/members", `{"id":4${" ".repeat(5_000)}}`, 400],
  ["PATCH", "/v1/members", null, 405],
  ["GET", "/v1/members/4", null, 405],
  ["GET", "/v1/members/4/promote", null, 405],
  ["DELETE", "/v1/members/four", null, 404],
  ["POST", "/v1/members/4/demote", null, 404],
  ["GET", "/v1/transfer", null, 405],
  ["POST", "/v1/transfer", '{"to":0}', 400],
  ["POST", "/v1/transfer", "{}", 400],
];

for (const [method, path, body, status] of wrong) {
  test(`${method} ${path} ${body?.slice(0, 60) ?? ""} is ${status}`, async () => {
    const { store, ask } = client();
    const headers = { ...jsonType, ...based };
    const answer = await ask(method, path, body === null ? { headers } : { headers, body });
    assert.is(answer.status, status);
    assert.equal(store.changes, []);
  });
}

test("a body that is not said to be JSON is 415", async () => {
  const { ask } = client();
  const answer = await ask("POST", "/v1/transfer", {
    headers: { "Content-Type": "text/plain" },
    body: '{"to":2}',
  });
  assert.is(answer.status, 415);
});

test("history is given up to a revision, or as far as it goes", async () => {
  const { ask, store } = client();
  const body = (value: unknown): RequestInit => ({
    headers: jsonType,
    body: JSON.stringify(value),
  });
  const some = await ask("POST", "/v1/compact", body({ revision: 5 }));
  assert.is(some.status, 200);
  const left = { oldestRevision: 5, firstLogIndex: 3, snapshotIndex: 5 };
  assert.equal(some.body, { nodeId: 1, revision: 5, ...left });
  assert.is((await ask("POST", "/v1/compact", body({}))).body["revision"], 7);
  assert.is((await ask("POST", "/v1/compact")).body["revision"], 7);
  for (const revision of [0, -1, 1.5, "5", null, 2 ** 60]) {
    const refused = await ask("POST", "/v1/compact", body({ revision }));
    assert.is(refused.status, 400, String(revision));
    assert.is(refused.body["field"], "revision");
  }
  assert.is((await ask("POST", "/v1/compact", body({ to: 5 }))).status, 400);
  assert.is((await ask("POST", "/v1/compact", { body: "{}" })).status, 415);
  assert.is((await ask("GET", "/v1/compact")).headers.get("allow"), "POST");
  store.failure = { ok: false, code: "no_leader", detail: "no" };
  assert.is((await ask("POST", "/v1/compact", body({}))).status, 503);
});

test.run();
