/** Remembered requests on SQLite: bounded, as durable as the rows, and never served damaged. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import {
  fingerprintBytes,
  valueBytesMax,
  type CommandResult,
  type OnceCommand,
  type PlainCommand,
} from "../../server/state-machine/command.ts";
import {
  executeOnce,
  requestKeptMs,
  requestKnownMs,
  requestsBytesMax,
  requestsMax,
  type RequestRecord,
} from "../../server/state-machine/once.ts";
import { transactionOf } from "../../server/state-machine/transaction.ts";
import { MapRequests } from "../server/map-requests.ts";
import { members, roomy, withScene, type Scene } from "./store-scene.ts";

const fingerprint = new Uint8Array(fingerprintBytes).fill(1);

const increment: PlainCommand = transactionOf([], {
  op: "incr",
  key: "n",
  by: 1n,
  min: null,
  max: null,
});

const once = (requestKey: string, command = increment): OnceCommand => ({
  op: "once",
  requestKey,
  fingerprint,
  command,
});

/** Of all that are remembered, oldest first. */
function keysIn(scene: Scene): string[] {
  const view = roomy(scene.store.prepareSnapshot());
  const keys: string[] = [];
  for (let batch = view.read(1 << 20); batch; batch = view.read(1 << 20)) {
    if (batch.table === "request") keys.push(...batch.rows.map((row) => row[1] as string));
  }
  view.close();
  return keys;
}

/** The counter's value, as the answer says it. */
function counted(result: CommandResult): bigint {
  if (result.op !== "transaction") throw new Error(`an increment is answered as ${result.op}`);
  const [first] = result.results;
  return first?.op === "incr" ? first.value : -1n;
}

test("an answer comes again before and after its commit, a restart and a roll-back", () => {
  withScene((scene) => {
    assert.is(counted(scene.do(once("a"))), 1n);
    assert.is(counted(scene.do(once("a"))), 1n);
    scene.store.commit();
    assert.is(counted(scene.do(once("a"))), 1n);
    assert.is(counted(scene.do(once("b"))), 2n);
    scene.reopen();
    assert.is(counted(scene.do(once("a"))), 1n);
    assert.is(counted(scene.do(once("b"))), 2n);
  });
});

test("what is remembered is in the history and in its own hash, and not in that of the rows", () => {
  withScene((scene, other) => {
    scene.do(once("a"));
    other.do(increment);
    const [one, two] = [scene.store.digest(), other.store.digest()];
    assert.is(one.stateHash, two.stateHash);
    assert.is.not(one.bookHash, two.bookHash);
    assert.is.not(one.historyHash, two.historyHash);
  });
});

test("the bytes of what is remembered are bounded, the oldest go first", () => {
  withScene((scene) => {
    const value = new Uint8Array(valueBytesMax);
    const count = requestsBytesMax / valueBytesMax + 6;
    for (let at = 0; at < count; at++) {
      const append: PlainCommand = transactionOf([], { op: "append", key: `k${at}`, value });
      scene.do(once(`r${at}`, append));
      if (at % 5 === 0) scene.store.commit();
    }
    assert.is(counted(scene.do(once("n"))), 1n);
    const kept = keysIn(scene);
    assert.is(kept.includes("r0"), false, "the oldest is gone");
    assert.is(kept.includes(`r${count - 1}`), true);
    assert.ok(kept.length >= requestsBytesMax / valueBytesMax - 2, `${kept.length} are kept`);
    assert.ok(kept.length <= requestsBytesMax / valueBytesMax + 1, `${kept.length} are kept`);
  });
});

test("the number of what is remembered is bounded, the oldest go first", () => {
  const answer = new Uint8Array();
  const record = (number: number): RequestRecord => {
    return { number, key: `r${number}`, fingerprint, answer, timeMs: 0, bytesEver: number };
  };
  const requests = new MapRequests(Array.from({ length: requestsMax }, (_, at) => record(at + 1)));
  const run = (): CommandResult => ({ op: "delete", deleted: 0, revision: 1 as never });
  executeOnce(requests, once("new"), { timeMs: 1, run });
  assert.is(requests.list.length, requestsMax);
  assert.is(must(requests.oldest, "there are many").number, 2);
});

test("those whose keys are known no longer go a few at a time", () => {
  withScene((scene) => {
    for (let at = 0; at < 200; at++) scene.do(once(`r${at}`), at);
    scene.store.commit();
    const late = scene.do(once("r0"), requestKeptMs + 1);
    assert.equal(late, { op: "mismatch", why: "expired" });
    assert.is(counted(scene.do(once("r0"), requestKnownMs + 500)), 201n);
    assert.is(keysIn(scene).length, 200 - 64 + 1);
    for (let at = 0; at < 5; at++) scene.do(once(`s${at}`), requestKnownMs + 500);
    assert.equal(keysIn(scene), ["r0", "s0", "s1", "s2", "s3", "s4"]);
  });
});

function assertSameAnswers(scene: Scene): void {
  assert.is(counted(scene.do(once("a"))), 1n);
  assert.is(counted(scene.do(once("b"))), 2n);
  assert.is(counted(scene.do(increment)), 3n);
}

test("a snapshot carries what is remembered, whatever is remembered and forgotten meanwhile", () => {
  withScene((scene, other) => {
    scene.store.apply(scene.entry("configuration", encodeConfiguration(members)));
    scene.do(once("a"));
    scene.do(once("b"));
    const view = roomy(scene.store.prepareSnapshot());
    for (let at = 0; at < 70; at++) scene.do(once(`c${at}`), requestKnownMs + at);
    scene.store.commit();
    const recovery = other.store.beginRecovery(view.applied, view.digest);
    for (let batch = view.read(1); batch; batch = view.read(1)) {
      assert.is(recovery.add(batch), null);
    }
    view.close();
    assert.is(recovery.finish(), null);
    recovery.install();
    other.goOnAt(view.applied.appliedIndex);
    assertSameAnswers(other);
  });
});

test("a snapshot whose requests are not those it was made of is refused", () => {
  withScene((scene, other) => {
    scene.store.apply(scene.entry("configuration", encodeConfiguration(members)));
    scene.do(once("a"));
    const view = roomy(scene.store.prepareSnapshot());
    const recovery = other.store.beginRecovery(view.applied, view.digest);
    for (let batch = view.read(1); batch; batch = view.read(1)) {
      if (batch.table === "kv") assert.is(recovery.add(batch), null);
    }
    view.close();
    assert.match(recovery.finish() ?? "", /requests/);
    recovery.abandon();
  });
});

test("a damaged record is never served", () => {
  for (const change of ["answer = x'00'", "key = 'b'", "time_ms = 7", "checksum = 0"]) {
    withScene((scene) => {
      scene.do(once("b"));
      scene.do(once("a"));
      scene.do(once("c"));
      const sql = `UPDATE request SET ${change} WHERE number = 2`;
      const opened = scene.tampered(sql);
      assert.ok(opened.ok);
      const key = change.startsWith("key") ? "b" : "a";
      assert.throws(() => scene.do(once(key)), /request number 2 contradicts its checksum/);
    });
  }
});

test.run();
