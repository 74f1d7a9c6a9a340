/** All that the client does, tried against real nodes; it runs where the client runs, in browsers too. */

import { equal as same } from "uvu/assert";
import { bytes, type Client, connect, json, KvError, text } from "../../client/client.ts";

async function errorOf(promise: Promise<unknown>): Promise<KvError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!KvError.is(error)) throw new Error(`not a KvError: ${String(error)}`);
  return error;
}

async function keys(kv: Client, prefix: string): Promise<void> {
  for (const key of ["plain", "a/b c", "ä😀", "a/../b", "..", ".", "+", "%2F", "end/:", "?#&="]) {
    const { revision } = await kv.put(prefix + key, key);
    const entry = await kv.get(prefix + key);
    same([entry?.text(), entry?.revision], [key, revision], key);
    same((await kv.delete(prefix + key)).deleted, true, `delete ${key}`);
    same(await kv.get(prefix + key), undefined, `get deleted ${key}`);
  }
  const value = Uint8Array.from({ length: 256 }, (_, at) => at);
  await kv.put(`${prefix}bytes`, value, { contentType: "image/png" });
  const entry = await kv.get(`${prefix}bytes`);
  same([...(entry?.value ?? [])], [...value], "bytes");
  same(entry?.contentType, "image/png", "content type");
}

/** Names that a URL cannot end in, whole and without a prefix. */
async function dotKeys(kv: Client): Promise<void> {
  for (const key of [".", ".."]) {
    await kv.delete(key);
    await kv.put(key, new Uint8Array([0, 255]), { ifNoneMatch: "*" });
    same([...((await kv.get(key))?.value ?? [])], [0, 255], key);
    const failed = await errorOf(kv.put(key, "x", { ifNoneMatch: "*" }));
    same([failed.code, failed.outcome], ["condition_failed", "not_applied"], key);
    await kv.put(key, "41");
    same((await kv.incr(key)).value, 42, key);
    same((await kv.getAndDelete(key))?.text(), "42", key);
    same(await kv.get(key), undefined, key);
  }
}

async function conditions(kv: Client, prefix: string): Promise<void> {
  const key = `${prefix}condition`;
  const { revision } = await kv.put(key, "one", { ifNoneMatch: "*" });
  const failed = await errorOf(kv.put(key, "two", { ifNoneMatch: "*" }));
  same(
    [failed.code, failed.status, failed.outcome, failed.revision],
    ["condition_failed", 412, "not_applied", revision],
    "ifNoneMatch",
  );
  await kv.put(key, "two", { ifMatch: revision });
  same((await errorOf(kv.delete(key, { ifMatch: revision }))).code, "condition_failed", "ifMatch");
  const odd = await errorOf(kv.put(key, "x", { ttl: "soon" }));
  same([odd.code, odd.field], ["bad_request", "ttl"], "ttl");
}

async function ranges(kv: Client, prefix: string): Promise<void> {
  const names = Array.from(
    { length: 25 },
    (_, at) => `${prefix}range/${String(at).padStart(2, "0")}`,
  );
  await Promise.all(names.map((name) => kv.put(name, "x")));
  const listed = [];
  for await (const { key } of kv.list({ prefix: `${prefix}range/` })) listed.push(key);
  same(listed, names, "list");
  const some = [];
  const selection = {
    prefix: `${prefix}range/`,
    start: `${prefix}range/05`,
    reverse: true,
    limit: 3,
  };
  for await (const { key } of kv.list(selection)) some.push(key);
  same(some, names.slice(-3).toReversed(), "reverse");
  same(await kv.count({ prefix: `${prefix}range/` }), 25, "count");
  const { deleted } = await kv.deleteRange({ prefix: `${prefix}range/` });
  same(deleted, 25, "deleteRange");
}

async function counters(kv: Client, prefix: string): Promise<void> {
  const key = `${prefix}counter`;
  same((await kv.incr(key)).value, 1, "incr");
  same((await kv.incr(key, 2n ** 60n)).value, 2n ** 60n + 1n, "bigint");
}

async function transactions(kv: Client, prefix: string): Promise<void> {
  const key = `${prefix}order`;
  const run = () =>
    kv
      .txn()
      .when({ key, exists: false })
      .do({ op: "put", key, value: new Uint8Array([255]) }, { op: "incr", key: `${key}s` })
      .otherwise({ op: "get", key })
      .commit();
  const first = await run();
  same([first.succeeded, first.results.map(({ op }) => op)], [true, ["put", "incr"]], "then");
  const second = await run();
  const [got] = second.results;
  same(second.succeeded, false, "else");
  same(got?.op === "get" ? [...(got.entry?.value ?? [])] : null, [255], "its result");
}

async function types(kv: Client, prefix: string): Promise<void> {
  const users = kv.typed(json<{ name: string }>(), `${prefix}user/`);
  await users.put("1", { name: "Ada" });
  same((await users.get("1"))?.value.name, "Ada", "json");
  same((await kv.get(`${prefix}user/1`))?.contentType, "application/json", "its type");
  for await (const { key, value } of users.list()) same([key, value.name], ["1", "Ada"], "list");
  await kv.typed(text).put(`${prefix}text`, "ä");
  same((await kv.typed(text).get(`${prefix}text`))?.value, "ä", "text");
  same((await kv.typed(bytes).get(`${prefix}text`))?.value.length, 2, "bytes");
}

async function watches(kv: Client, prefix: string): Promise<void> {
  const start = await kv.put(`${prefix}watched/0`, "0");
  const ending = new AbortController();
  const changes = kv.watch(
    { prefix: `${prefix}watched/`, since: start.revision, prev: true },
    { signal: ending.signal },
  );
  await kv.put(`${prefix}watched/1`, new Uint8Array([255]), { contentType: "image/png" });
  await kv
    .txn()
    .do(
      { op: "put", key: `${prefix}watched/0`, value: "new" },
      { op: "delete", key: `${prefix}watched/1` },
    )
    .commit();
  const seen = [];
  for await (const { type, key, value, contentType, prev } of changes) {
    seen.push([type, key.at(-1), value?.[0], contentType, prev?.value[0]]);
    if (seen.length === 3) break;
  }
  const zero = "0".charCodeAt(0);
  const expected = [
    ["put", "1", 255, "image/png", undefined],
    ["put", "0", "n".charCodeAt(0), undefined, zero],
    ["delete", "1", undefined, undefined, 255],
  ];
  same(seen, expected, "changes");
  const more = kv.watch({ key: `${prefix}watched/0` }, { signal: ending.signal });
  const failed = errorOf(more.next());
  ending.abort();
  same((await failed).code, "aborted", "a signal ends a watch");
}

async function locks(kv: Client, prefix: string): Promise<void> {
  const name = `${prefix}lock/ä`;
  const first = await kv.lock(name, { ttl: "5s" });
  const taken = await errorOf(kv.lock(name, { wait: 0 }));
  same([taken.code, taken.outcome], ["conflict", "not_applied"], "taken");
  await kv.put(`${prefix}leased`, "v", { lease: first.lease });
  const fenced = (token: number) =>
    kv
      .txn()
      .when({ lock: name, token })
      .do({ op: "put", key: `${prefix}fenced`, value: String(token) })
      .commit();
  same((await fenced(first.token)).succeeded, true, "fence");
  const waiting = kv.lock(name, { ttl: "5s" });
  await first.release();
  {
    await using second = await waiting;
    same(second.token > first.token, true, "tokens grow");
    same((await fenced(first.token)).succeeded, false, "fenced off");
    same(second.signal.aborted, false, "held");
  }
  same(await kv.get(`${prefix}leased`), undefined, "what was put with the lock's lease is gone");
  await (await kv.lock(name, { wait: "1s" })).release();
  const leader = await kv.campaign(name, "one", { ttl: "5s" });
  await leader.proclaim(new Uint8Array([255]));
  same([...((await kv.leader(name))?.value ?? [])], [255], "leader");
  await leader.resign();
  same(await kv.leader(name), undefined, "nobody leads");
  const lease = await kv.lease("5s");
  await kv.put(`${prefix}leased`, "v", { lease: lease.id });
  same((await kv.touch(`${prefix}n`, "1s")) === undefined, true, "touch of nothing");
  await lease.end();
  await lease.end();
  same(await kv.get(`${prefix}leased`), undefined, "lease");
  const gone = await errorOf(kv.put(`${prefix}leased`, "v", { lease: lease.id }));
  same([gone.code, gone.field], ["not_found", "lease"], "a lease that is gone");
  // Kept by nobody's wish to live: the program ends all the same.
  await kv.lock(`${name}/left`, { ttl: "1s" });
}

const parts = [keys, dotKeys, conditions, ranges, counters, transactions, types, watches, locks];

/** Rejects with the first thing that is not as it should be. The keys it writes begin with `prefix`. */
export async function exercise(endpoints: string, prefix: string): Promise<void> {
  const kv = connect(endpoints.split(","));
  for (const part of parts) await part(kv, prefix);
}
