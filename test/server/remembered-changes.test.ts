/** The history of changes outlives the process: whoever comes back is given what he would have been. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { WatchedRows } from "../../server/state-machine/changes.ts";
import type { Command, Row } from "../../server/state-machine/command.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { transactionOf, type Operation } from "../../server/state-machine/transaction.ts";
import type { HistoryRow, Remembered } from "../../server/watch/history-rows.ts";
import { eventJson } from "../../server/watch/watch-json.ts";
import type { WatchEvent } from "../../server/watch/watch-port.ts";
import { Watches } from "../../server/watch/watches.ts";
import { Random } from "../raft/random.ts";
import { MapRequests } from "./map-requests.ts";
import { MapRows } from "./map-rows.ts";
import { VirtualTime } from "./simulated-nodes.ts";

const limits = {
  watchersMax: 500,
  watchChangesMax: 60,
  watchBytesMax: 1 << 20,
  watchProgressMs: 5_000,
};

/** A node, and the one that is started in its place. */
class Scene {
  readonly time = new VirtualTime();
  readonly rows = new MapRows(new Map<string, Row>());
  readonly requests = new MapRequests();
  watches: Watches;
  applied = 10;

  constructor() {
    this.watches = this.#begun(null);
  }

  #begun(remembered: Remembered | null): Watches {
    const appliedIndex = index(this.applied);
    return new Watches({ clock: this.time.clock(), limits, appliedIndex, remembered });
  }

  /** Rows as they are on a disk: of no use but to be read once. */
  saved(): Remembered {
    const { rows, ...remembered } = this.watches.remembered;
    return { ...remembered, rows: [...rows] };
  }

  restart(remembered: Remembered): Watches {
    this.watches = this.#begun(remembered);
    return this.watches;
  }

  apply(command: Command): void {
    this.applied++;
    const entry = { index: index(this.applied), timeMs: this.applied };
    const watched = new WatchedRows(this.rows, this.watches);
    execute(watched, this.requests, { command, entry });
    this.watches.applied(index(this.applied));
  }

  /** All that a watcher from behind `since` is given, as it is told. */
  async changesAfter(watches: Watches, since: number): Promise<object[]> {
    const opened = watches.open({ kind: "prefix", prefix: "" }, since, true);
    assert.ok(opened.ok, `from ${since}`);
    if (!opened.ok) return [];
    const events: WatchEvent[] = [];
    const read = async (): Promise<void> => {
      for (;;) {
        const batch = await opened.watcher.next();
        if (typeof batch === "string") return;
        events.push(...batch);
      }
    };
    const reading = read();
    for (let turns = 0; turns < 50; turns++) {
      this.time.run(1);
      await Promise.resolve();
    }
    opened.watcher.finish("stopped");
    await reading;
    const changes = events.filter(({ type }) => type !== "progress");
    return changes.map((event) => eventJson(event, true));
  }
}

function drawn(random: Random, applied: number): Command {
  const key = `k${random.below(6)}`;
  const value = new Uint8Array([applied % 256, random.below(256)]);
  const put = {
    op: "put",
    key,
    value,
    contentType: random.float() < 0.5 ? null : "text/x",
  } as const;
  const chance = random.float();
  if (chance < 0.3) return put;
  if (chance < 0.5) return { ...put, ttlMs: 1 + random.below(30) };
  if (chance < 0.6) return { op: "expire" };
  if (chance < 0.8) return { op: "delete", key };
  const then: Operation[] = [put, { ...put, key: "other" }, { op: "delete", key: "k1" }];
  return { ...transactionOf([], put), then };
}

test("a restarted node tells all that the one before would have told, and goes on", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const scene = new Scene();
    const random = new Random(seed);
    const before = scene.watches;
    // Who wants to know what was there before has it remembered too.
    if (seed % 2 === 0) before.open({ kind: "key", key: "k1" }, null, true);
    const count = random.pick([5, 40, 120]);
    for (let at = 0; at < count; at++) scene.apply(drawn(random, scene.applied));
    const after = scene.restart(scene.saved());
    assert.is(after.oldestRevision, before.oldestRevision);
    for (let since: number = before.oldestRevision; since <= scene.applied; since++) {
      const expected = await scene.changesAfter(before, since);
      assert.equal(await scene.changesAfter(after, since), expected, `seed ${seed}, from ${since}`);
    }
    const last = scene.applied;
    scene.apply({ op: "put", key: "new", value: new Uint8Array(), contentType: null });
    const [event] = await scene.changesAfter(after, last);
    assert.equal(event, { ...event, type: "put", key: "new" });
  }
});

function withPuts(): Scene {
  const scene = new Scene();
  for (const key of ["a", "b", "c"]) {
    scene.apply({ op: "put", key, value: new Uint8Array(1), contentType: null });
  }
  return scene;
}

/** What is believed of it: the revision behind which changes are known. */
function believed(change: (remembered: Remembered) => Remembered): number {
  const scene = withPuts();
  return scene.restart(change(scene.saved())).oldestRevision;
}

test("of another state than the one that it led to, nothing is believed", () => {
  assert.is(
    believed((remembered) => remembered),
    10,
  );
  for (const other of [12, 14]) {
    assert.is(
      believed((remembered) => ({ ...remembered, appliedIndex: index(other) })),
      13,
    );
  }
});

const withRow = (change: (row: HistoryRow) => HistoryRow) => (remembered: Remembered) => {
  const [first = [], second = [], ...rest] = remembered.rows;
  return { ...remembered, rows: [first, change(second), ...rest] };
};
const replaced = (row: HistoryRow, at: number, value: HistoryRow[number]): HistoryRow =>
  row.map((each, place) => (place === at ? value : each));

test("rows that are no changes, or in no order, are not believed at all", () => {
  const wrong: ((remembered: Remembered) => Remembered)[] = [
    withRow((row) => row.slice(1)),
    withRow((row) => [...row, null]),
    withRow((row) => replaced(row, 0, "renamed")),
    withRow((row) => replaced(row, 0, "delete")),
    withRow((row) => replaced(row, 1, 7)),
    withRow((row) => replaced(row, 2, 1.5)),
    withRow((row) => replaced(row, 2, 10)),
    withRow((row) => replaced(row, 2, 14)),
    withRow((row) => replaced(row, 3, 1)),
    withRow((row) => replaced(row, 5, null)),
    withRow((row) => replaced(row, 6, 4)),
    withRow((row) => replaced(row, 9, "soon")),
    (remembered) => ({ ...remembered, rows: [...remembered.rows].toReversed() }),
    (remembered) => ({ ...remembered, floor: index(12) }),
  ];
  for (const [at, change] of wrong.entries()) assert.is(believed(change), 13, `the ${at}th`);
});

test.run();
