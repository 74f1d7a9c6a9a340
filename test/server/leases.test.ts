/** Leases and queues in the state machine: what goes with what, who is first, and what is refused. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { WatchedRows, type RowChanged } from "../../server/state-machine/changes.ts";
import type { Command, CommandResult, Row } from "../../server/state-machine/command.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { leaseKeysMax } from "../../server/state-machine/leased-keys.ts";
import { list } from "../../server/state-machine/listing.ts";
import { rangeOf } from "../../server/selection.ts";
import {
  transactionOf,
  type Condition,
  type Operation,
  type OperationResult,
} from "../../server/state-machine/transaction.ts";
import { MapRequests } from "./map-requests.ts";
import { MapRows } from "./map-rows.ts";

const none = new Uint8Array();

class Scene {
  readonly all = new Map<string, Row>();
  readonly rows = new MapRows(this.all);
  readonly told: string[] = [];
  revision = 0;
  timeMs = 0;
  readonly #requests = new MapRequests();
  readonly #watched = new WatchedRows(this.rows, {
    wantsRowBefore: false,
    changed: ({ type, key }: RowChanged) => void this.told.push(`${type} ${key}`),
    applied: () => {},
    replaced: () => {},
  });

  do(command: Command): CommandResult {
    const entry = { index: index(++this.revision), timeMs: this.timeMs };
    return execute(this.#watched, this.#requests, { command, entry });
  }

  run(operation: Operation, ...conditions: Condition[]): CommandResult {
    return this.do(transactionOf(conditions, operation));
  }

  /** Its only result. */
  one(operation: Operation): OperationResult {
    const result = this.run(operation);
    if (result.op !== "transaction") throw new Error(`${operation.op}: ${JSON.stringify(result)}`);
    return result.results[0] as OperationResult;
  }

  put(key: string, lease?: number): CommandResult {
    const put = { op: "put", key, value: none, contentType: null } as const;
    return this.run(lease === undefined ? put : { ...put, lease });
  }

  join(queue: string, more: Partial<Extract<Operation, { op: "join" }>> = {}) {
    const plain = { key: queue, value: none, lease: null, ttlMs: 1_000, waits: true };
    const joined = this.one({ op: "join", ...plain, ...more });
    if (joined.op !== "join") throw new Error(joined.op);
    return joined;
  }

  expire(timeMs: number): CommandResult {
    this.timeMs = timeMs;
    return this.do({ op: "expire" });
  }

  /** What users see. */
  get keys(): string[] {
    return list(this.rows, {
      type: "list",
      range: rangeOf({}),
      after: null,
      reverse: false,
      limit: 100,
      keysOnly: true,
      bytesMax: 1 << 20,
      groups: null,
    }).rows.map(({ key }) => key);
  }
}

const codeOf = (result: CommandResult): string => (result.op === "failed" ? result.code : "done");

test("all keys of a lease go with it, once its time is over", () => {
  const scene = new Scene();
  assert.equal(scene.one({ op: "leaseGrant", ttlMs: 1_000 }), { op: "leaseGrant", lease: 1 });
  for (const key of ["b", "a", "c"]) scene.put(key, 1);
  scene.put("other");
  scene.put("c");
  scene.expire(1_000);
  assert.equal(scene.keys, ["a", "b", "c", "other"]);
  scene.timeMs = 500;
  assert.equal(scene.one({ op: "leaseRenew", lease: 1 }), { op: "leaseRenew", ttlMs: 1_000 });
  scene.expire(1_500);
  assert.equal(scene.keys, ["a", "b", "c", "other"]);
  scene.told.length = 0;
  scene.expire(1_501);
  assert.equal(scene.keys, ["c", "other"]);
  assert.equal(scene.told, ["expire a", "expire b", "expire \0lease/1"]);
  assert.is(scene.all.size, 2);
});

test("who revokes a lease deletes its keys at once", () => {
  const scene = new Scene();
  scene.one({ op: "leaseGrant", ttlMs: 1_000 });
  scene.put("a", 1);
  scene.put("b", 1);
  scene.told.length = 0;
  assert.equal(scene.one({ op: "leaseRevoke", lease: 1 }), { op: "leaseRevoke", deleted: 2 });
  assert.equal(scene.told, ["delete a", "delete b", "delete \0lease/1"]);
  assert.is(scene.all.size, 0);
});

test("a lease that is gone is refused, and nothing happens", () => {
  const scene = new Scene();
  assert.is(codeOf(scene.put("a", 1)), "not_found");
  for (const op of ["leaseRenew", "leaseRevoke"] as const) {
    assert.is(codeOf(scene.run({ op, lease: 1 })), "not_found");
  }
  const plain = { value: none, ttlMs: 1, waits: true };
  assert.is(codeOf(scene.run({ op: "join", key: "lock/a", ...plain, lease: 1 })), "not_found");
  assert.is(scene.all.size, 0);
});

test("other changes leave the lease; a put without one, and a touch, take the key off it", () => {
  const scene = new Scene();
  scene.one({ op: "leaseGrant", ttlMs: 1_000 });
  for (const key of ["n", "t", "p", "m"]) scene.put(key, 1);
  scene.do({ op: "delete", key: "n" });
  const by = { by: 1n, min: null, max: null };
  scene.one({ op: "incr", key: "n", ...by });
  scene.put("n", 1);
  scene.one({ op: "append", key: "m", value: Uint8Array.of(49) });
  scene.one({ op: "incr", key: "m", ...by });
  scene.one({ op: "touch", key: "t", ttlMs: 9_000 });
  scene.put("p");
  assert.equal(scene.rows.leased.keysOf(1), ["m", "n"]);
  assert.is(scene.rows.get("t")?.ttlMs, 9_000);
  scene.expire(1_001);
  assert.equal(scene.keys, ["p", "t"]);
  scene.expire(9_001);
  assert.equal(scene.keys, ["p"]);
});

test("a lease has so many keys and no more", () => {
  const scene = new Scene();
  scene.one({ op: "leaseGrant", ttlMs: 1_000 });
  for (let at = 0; at < leaseKeysMax; at++) scene.put(`k${at}`, 1);
  assert.is(codeOf(scene.put("one more", 1)), "conflict");
  assert.equal(scene.one({ op: "leaseRevoke", lease: 1 }), {
    op: "leaseRevoke",
    deleted: leaseKeysMax,
  });
});

test("whoever came first holds the lock, and tokens only grow", () => {
  const scene = new Scene();
  const first = scene.join("lock/a");
  assert.equal(first, { op: "join", token: 1, lease: 1, isFirst: true });
  const second = scene.join("lock/a");
  assert.equal(second, { op: "join", token: 2, lease: 2, isFirst: false });
  assert.is(scene.join("lock/b").isFirst, true);
  const refused = scene.join("lock/a", { waits: false });
  assert.equal(refused, { op: "join", token: null, lease: null, isFirst: false });
  const holds = (token: number): boolean => {
    const condition = { kind: "holder", key: "lock/a", not: false, token } as const;
    const result = scene.run({ op: "get", key: "x" }, condition);
    return result.op === "transaction" && result.succeeded;
  };
  assert.equal([0, 1, 2].map(holds), [false, true, false]);
  assert.equal(scene.one({ op: "leave", key: "lock/a", token: 1 }), { op: "leave", left: true });
  assert.equal(scene.one({ op: "leave", key: "lock/a", token: 1 }), { op: "leave", left: false });
  assert.equal([0, 1, 2].map(holds), [false, false, true]);
  scene.expire(1_001);
  assert.equal([0, 1, 2].map(holds), [true, false, false]);
  assert.is(scene.all.size, 0);
  assert.ok((scene.join("lock/a").token ?? 0) > 2);
});

test("a lease stands in a queue once, and its own goes with its place", () => {
  const scene = new Scene();
  scene.one({ op: "leaseGrant", ttlMs: 1_000 });
  const place = scene.join("lock/a", { lease: 1 });
  const { token } = place;
  assert.equal(place, { op: "join", token, lease: 1, isFirst: true });
  const other = scene.join("lock/a");
  scene.put("attached", other.lease ?? 0);
  assert.equal(scene.join("lock/a", { lease: 1, waits: false }), place);
  scene.one({ op: "leave", key: "lock/a", token: token ?? 0 });
  assert.equal(scene.one({ op: "leaseRenew", lease: 1 }), { op: "leaseRenew", ttlMs: 1_000 });
  scene.one({ op: "leave", key: "lock/a", token: other.token ?? 0 });
  assert.equal(scene.keys, []);
  assert.is(codeOf(scene.run({ op: "leaseRenew", lease: other.lease ?? 0 })), "not_found");
});

test("a value stands in a place of a queue, and can be changed without losing it", () => {
  const scene = new Scene();
  const key = "election/a";
  const { token } = scene.join(key, { value: Uint8Array.of(1) });
  const value = Uint8Array.of(2);
  assert.is(scene.one({ op: "setValue", key, token: token ?? 0, value }).op, "setValue");
  const row = [...scene.all.values()].find((each) => each.key.startsWith("\0queue/"));
  assert.equal([row?.value, row?.createRevision], [value, 1]);
  assert.is(codeOf(scene.run({ op: "setValue", key, token: 9, value })), "not_found");
});

test("no list, count or deletion of everything reaches leases and queues", () => {
  const scene = new Scene();
  scene.join("lock/a");
  scene.put("\u0001");
  assert.equal(scene.keys, ["\u0001"]);
  const range = rangeOf({ start: "" });
  assert.equal(scene.one({ op: "deleteRange", range, limit: null }), {
    op: "deleteRange",
    deleted: 1,
  });
  assert.is(scene.all.size, 2);
});

test.run();
