/** Watchers of one node: who is told of what, from when, how often, and when it ends. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, type Index } from "../../server/raft/entry.ts";
import { WatchedRows } from "../../server/state-machine/changes.ts";
import type { Command, Row } from "../../server/state-machine/command.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { prefixRange } from "../../server/state-machine/key-range.ts";
import { transactionOf, type Operation } from "../../server/state-machine/transaction.ts";
import type { ChangeEvent } from "../../server/watch/watch-port.ts";
import type { Watched } from "../../server/watch/watch-index.ts";
import { Watches, type WatchLimits } from "../../server/watch/watches.ts";
import type { WatchBatch, Watcher } from "../../server/watch/watcher.ts";
import { MapRequests } from "./map-requests.ts";
import { MapRows } from "./map-rows.ts";
import { VirtualTime } from "./simulated-nodes.ts";

const limits: WatchLimits = {
  watchersMax: 8,
  watchChangesMax: 1_000,
  watchBytesMax: 1 << 20,
  watchProgressMs: 5_000,
};

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const put = (key: string, value = key): Command => ({
  op: "put",
  key,
  value: bytes(value),
  contentType: null,
});
const remove = (key: string): Command => ({ op: "delete", key });
const all: Watched = { kind: "prefix", prefix: "" };

/** A node that applies what it is given, and its watchers. */
class Scene {
  readonly time = new VirtualTime();
  readonly rows = new Map<string, Row>();
  readonly watches: Watches;
  readonly #watched: WatchedRows;
  readonly #requests = new MapRequests();
  applied = 10;
  logTimeMs = 0;

  constructor(more: Partial<WatchLimits> = {}) {
    this.watches = new Watches({
      clock: this.time.clock(),
      limits: { ...limits, ...more },
      appliedIndex: index(this.applied),
    });
    this.#watched = new WatchedRows(new MapRows(this.rows), this.watches);
  }

  apply(...commands: Command[]): void {
    for (const command of commands) {
      this.applied++;
      const entry = { index: index(this.applied), timeMs: this.logTimeMs };
      execute(this.#watched, this.#requests, { command, entry });
      this.watches.applied(index(this.applied));
    }
  }

  transact(...operations: Operation[]): void {
    const { conditions, otherwise, op } = transactionOf([], operations[0] as Operation);
    this.apply({ op, conditions, then: operations, otherwise });
  }

  open(watched: Watched, since: number | null = null, before = false): Reader {
    const opened = this.watches.open(watched, since, before);
    if (!opened.ok) throw new Error(opened.error);
    return new Reader(opened.watcher, this.time);
  }

  refusal(since: number): string {
    const opened = this.watches.open(all, since, false);
    return opened.ok ? "opened" : opened.error;
  }
}

/** Reads all that comes, and writes it down as text. */
class Reader {
  readonly watcher: Watcher;
  readonly events: ChangeEvent[] = [];
  readonly progress: number[] = [];
  end: string | null = null;
  readonly #time: VirtualTime;
  #isAsking = false;

  constructor(watcher: Watcher, time: VirtualTime) {
    this.watcher = watcher;
    this.#time = time;
  }

  /** Takes what there is by now. */
  async read(): Promise<string[]> {
    const before = this.events.length;
    for (let idle = 0; idle < 20 && this.end === null; idle++) {
      if (!this.#isAsking) {
        this.#isAsking = true;
        idle = 0;
        void this.watcher.next().then((batch) => this.#note(batch));
      }
      this.#time.run(1);
      await Promise.resolve();
    }
    return this.events.slice(before).map(textOf);
  }

  #note(batch: WatchBatch): void {
    this.#isAsking = false;
    if (typeof batch === "string") this.end = batch;
    else {
      for (const event of batch) {
        if (event.type === "progress") this.progress.push(event.revision);
        else this.events.push(event);
      }
    }
  }
}

function textOf({ type, key, row, revision, isLast }: ChangeEvent): string {
  const value = row === null ? "" : `=${new TextDecoder().decode(row.value)}`;
  return `${revision} ${type} ${key}${value}${isLast ? "" : " …"}`;
}

test("each change comes once, in order, to those who watch its key", async () => {
  const scene = new Scene();
  const readers = [
    scene.open(all),
    scene.open({ kind: "key", key: "a/1" }),
    scene.open({ kind: "prefix", prefix: "a/" }),
    scene.open({ kind: "range", range: { start: "a/2", end: "b" } }),
  ];
  scene.apply(put("a/1"), put("b"), remove("a/1"), remove("none"), put("a/2"));
  const seen = await Promise.all(readers.map((reader) => reader.read()));
  assert.equal(seen[0], ["11 put a/1=a/1", "12 put b=b", "13 delete a/1", "15 put a/2=a/2"]);
  assert.equal(seen[1], ["11 put a/1=a/1", "13 delete a/1"]);
  assert.equal(seen[2], ["11 put a/1=a/1", "13 delete a/1", "15 put a/2=a/2"]);
  assert.equal(seen[3], ["15 put a/2=a/2"]);
  scene.apply(put("a/2", "new"));
  assert.equal(await Promise.all(readers.map((reader) => reader.read())), [
    ["16 put a/2=new"],
    [],
    ["16 put a/2=new"],
    ["16 put a/2=new"],
  ]);
});

test("`since` gives what was applied behind it, and then what comes", async () => {
  const scene = new Scene();
  scene.apply(put("a"), put("b"), put("a", "2"));
  for (const [since, expected] of [
    [10, ["11 put a=a", "12 put b=b", "13 put a=2"]],
    [11, ["12 put b=b", "13 put a=2"]],
    [13, []],
  ] as const) {
    const reader = scene.open(all, since);
    assert.equal(await reader.read(), expected);
  }
  const reader = scene.open({ kind: "key", key: "a" }, 11);
  scene.apply(put("a", "3"));
  assert.equal(await reader.read(), ["13 put a=2", "14 put a=3"]);
});

test("changes of one transaction share the revision, and only the last that fits is the last", async () => {
  const scene = new Scene();
  scene.apply(put("a/1"), put("a/2"), put("b"));
  const both = scene.open(all);
  const some = scene.open({ kind: "prefix", prefix: "a/" });
  scene.transact(
    { op: "deleteRange", range: prefixRange("a/"), limit: null },
    { op: "put", key: "b", value: bytes("2"), contentType: null },
    { op: "put", key: "c", value: bytes("3"), contentType: null },
  );
  const expected = ["14 delete a/1 …", "14 delete a/2 …", "14 put b=2 …", "14 put c=3"];
  assert.equal(await both.read(), expected);
  assert.equal(await some.read(), ["14 delete a/1 …", "14 delete a/2"]);
  assert.equal(await scene.open(all, 13).read(), expected);
});

test("a row whose time is over goes by `expire`, and a new deadline is no change", async () => {
  const scene = new Scene();
  const reader = scene.open(all, null, true);
  scene.apply({ op: "put", key: "a", value: bytes("a"), contentType: null, ttlMs: 100 });
  scene.transact({ op: "touch", key: "a", ttlMs: 200 });
  assert.equal(await reader.read(), ["11 put a=a"]);
  scene.logTimeMs = 201;
  scene.apply({ op: "expire" });
  assert.equal(await reader.read(), ["13 expire a"]);
  assert.equal(reader.events[1]?.before?.value, bytes("a"));
});

test("a request that is known already changes nothing, and nothing is told", async () => {
  const scene = new Scene();
  const reader = scene.open(all);
  const command = { op: "put", key: "a", value: bytes("a"), contentType: null } as const;
  const once = { op: "once", requestKey: "r", fingerprint: new Uint8Array(32), command } as const;
  scene.apply(once, once);
  assert.equal(await reader.read(), ["11 put a=a"]);
});

test("a row that goes and comes again in one transaction was put once", async () => {
  const scene = new Scene();
  scene.apply(put("a", "old"));
  const reader = scene.open(all, null, true);
  scene.transact(
    { op: "delete", key: "a" },
    { op: "put", key: "a", value: bytes("new"), contentType: null },
  );
  assert.equal(await reader.read(), ["12 put a=new"]);
  const [event] = reader.events;
  assert.equal(event?.before?.value, bytes("old"));
  assert.is(event?.revisionsBefore?.revision, 11);
  assert.is(event?.row?.createRevision, 12);
});

test("what stood there before is told, from the history as well, and without a value where it is gone", async () => {
  const scene = new Scene({ watchChangesMax: 3 });
  scene.apply(put("a", "1"), put("a", "2"));
  const replayed = scene.open(all, 10, true);
  await replayed.read();
  assert.equal(
    replayed.events.map(({ before }) => before && new TextDecoder().decode(before.value)),
    [null, "1"],
  );
  replayed.watcher.close();
  scene.apply(put("b"), put("c"), put("a", "3"));
  const late = scene.open(all, 14, true);
  await late.read();
  assert.is(late.events[0]?.before, null);
  assert.is(late.events[0]?.revisionsBefore?.revision, 12);
  scene.apply(remove("a"));
  await late.read();
  assert.equal(late.events[1]?.before?.value, bytes("3"));
});

test("a revision that is not remembered, and one that is not there yet, are refused", async () => {
  const scene = new Scene({ watchChangesMax: 3 });
  assert.is(scene.refusal(9), "compacted");
  assert.is(scene.refusal(11), "future");
  for (let at = 0; at < 10; at++) scene.apply(put(`k${at}`));
  assert.is(scene.watches.oldestRevision, 17);
  assert.is(scene.refusal(16), "compacted");
  assert.equal(await scene.open(all, 17).read(), ["18 put k7=k7", "19 put k8=k8", "20 put k9=k9"]);
});

test("the history is bounded by bytes, and by revisions that are there as a whole", () => {
  const scene = new Scene({ watchBytesMax: 10_000 });
  for (let at = 0; at < 100; at++) scene.apply(put(`k${at % 7}`, "x".repeat(1_000)));
  assert.ok(scene.watches.historyBytes <= 10_000);
  assert.ok(scene.watches.historyBytes > 5_000);
  const operations = Array.from({ length: 20 }, (_, at): Operation => ({
    op: "put",
    key: `t${at}`,
    value: bytes("x".repeat(1_000)),
    contentType: null,
  }));
  scene.transact(...operations);
  assert.is(scene.watches.oldestRevision, scene.applied - 1);
});

test("signs of progress come at the start and every five seconds, once nothing waits", async () => {
  const scene = new Scene();
  scene.apply(put("a"));
  const reader = scene.open({ kind: "key", key: "b" }, 10);
  await reader.read();
  assert.equal(reader.progress, [11]);
  scene.apply(put("a"), put("b"));
  await reader.read();
  assert.equal(reader.progress, [11]);
  scene.time.run(5_000);
  await reader.read();
  assert.equal(reader.progress, [11, 13]);
});

test("a watcher that reads nothing is cut off once the history has passed it, and holds nothing until then", async () => {
  const scene = new Scene({ watchChangesMax: 3_000 });
  const slow = scene.open(all);
  const fast = scene.open(all);
  for (let round = 0; round < 5; round++) {
    for (let at = 0; at < 1_000; at++) scene.apply(put(`k${at}`));
    assert.is((await fast.read()).length, 1_000);
  }
  scene.time.run(1_000);
  assert.is(slow.watcher.end, "behind");
  assert.equal(await slow.read(), []);
  assert.is(slow.end, "behind");
  assert.is(scene.watches.count, 1);
});

test("a watcher is not behind where only others' changes of a revision it was told of are gone", async () => {
  const scene = new Scene({ watchChangesMax: 3 });
  const large = "v".repeat(256 << 10);
  const isPut = (key: string, value = key): Operation => put(key, value) as Operation;
  for (const missed of [false, true]) {
    const since = scene.applied;
    scene.transact(isPut("a", large), isPut("b"), isPut("c"));
    const reader = scene.open({ kind: "key", key: "a" }, since);
    // It takes as much as fits into one batch, and no more.
    const batch = await reader.watcher.next();
    assert.is(typeof batch === "string" ? batch : batch.length, 1);
    if (missed) scene.apply(put("a"), put("d"), put("d"), put("d"));
    else scene.apply(put("d"), put("d"), put("a"));
    const told = (await reader.read()).filter((text) => !text.includes("vvv"));
    const expected = missed ? [[], "behind"] : [[`${scene.applied} put a=a`], null];
    assert.equal([told, reader.end], expected);
  }
});

test("a watcher that falls behind and comes back in time misses and repeats nothing", async () => {
  const scene = new Scene({ watchChangesMax: 20_000, watchBytesMax: 16 << 20 });
  const slow = scene.open({ kind: "prefix", prefix: "k" });
  const expected: string[] = [];
  for (let at = 0; at < 6_000; at++) {
    scene.apply(put(at % 3 === 0 ? "other" : `k${at}`));
    if (at % 3 !== 0) expected.push(`${scene.applied} put k${at}=k${at}`);
    if (at === 500 || at === 4_000) assert.equal(await slow.read(), expected.splice(0));
  }
  assert.equal(await slow.read(), expected);
});

test("no more than so many watch, and whoever goes makes room", () => {
  const scene = new Scene();
  const readers = Array.from({ length: limits.watchersMax }, () => scene.open(all));
  assert.throws(() => scene.open(all), /overloaded/);
  readers[0]?.watcher.close();
  scene.open({ kind: "key", key: "a" });
  assert.throws(() => scene.open(all), /overloaded/);
});

test("another state in the place of this one ends what was watched, and begins a new history", async () => {
  const scene = new Scene();
  const reader = scene.open(all);
  scene.apply(put("a"));
  scene.watches.replaced(index(50));
  await reader.read();
  assert.is(reader.end, "replaced");
  assert.is(scene.watches.oldestRevision, 50);
  scene.applied = 50;
  const next = scene.open(all, 50);
  scene.apply(put("b"));
  assert.equal(await next.read(), ["51 put b=b"]);
});

test("the end of the node ends what is watched and refuses what comes", async () => {
  const scene = new Scene();
  const reader = scene.open(all);
  await reader.read();
  scene.apply(put("a"), remove("none"));
  scene.watches.close();
  assert.equal(await reader.read(), ["11 put a=a"]);
  assert.equal([reader.progress, reader.end], [[10, 12], "stopped"]);
  assert.is(scene.refusal(10), "stopped");
});

test("who waits for a revision hears of it when it is applied, whatever it did", () => {
  const scene = new Scene();
  let reached = 0;
  scene.watches.whenApplied(12, () => reached++);
  const forget = scene.watches.whenApplied(12, () => (reached += 100));
  scene.watches.whenApplied(10, () => (reached += 10));
  assert.is(reached, 10);
  forget();
  scene.apply(remove("none"));
  scene.time.run(1);
  assert.is(reached, 10);
  scene.watches.applied(12 as Index);
  scene.time.run(1);
  assert.is(reached, 11);
});

test("what is given up is gone for who comes back and for who has not read it, and for nobody else", async () => {
  const scene = new Scene();
  const [late, prompt] = [scene.open(all), scene.open(all)];
  scene.apply(put("a"), put("b"), put("c"));
  await prompt.read();
  scene.watches.compact(index(12));
  assert.is(scene.watches.oldestRevision, 12);
  assert.equal(
    [11, 12, 13].map((since) => scene.refusal(since)),
    ["compacted", "opened", "opened"],
  );
  await late.read();
  assert.is(late.end, "behind");
  scene.watches.compact(index(11));
  assert.is(scene.watches.oldestRevision, 12, "it does not go back");
  scene.apply(put("d"));
  assert.equal(await prompt.read(), ["14 put d=d"]);
  assert.equal(await scene.open(all, 12).read(), ["13 put c=c", "14 put d=d"]);
  scene.watches.compact(index(14));
  scene.apply(put("e"));
  assert.equal(await scene.open(all, 14).read(), ["15 put e=e"]);
});

test.run();
