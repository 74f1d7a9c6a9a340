/** What is committed is applied in turns that are bounded by the rows that change, not by bytes. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Applier, type ApplierOptions } from "../../server/applier.ts";
import { defaultLimits } from "../../server/limits.ts";
import { index, term, type Entry } from "../../server/raft/entry.ts";
import type { CommandResult } from "../../server/state-machine/command.ts";
import { expiredPerEntry } from "../../server/state-machine/deadlines.ts";

const noBytes = new Uint8Array();

/** So many committed entries, each with this result. */
class Scene {
  readonly applier: Applier;
  readonly answered: number[] = [];
  appliedIndex = 0;
  /** Of the log. */
  reads = 0;

  constructor(count: number, result: CommandResult | null) {
    const log = {
      commitIndex: count,
      stableIndex: count,
      appliedIndex: (): number => this.appliedIndex,
    };
    const raft = {
      toApply: () => {
        this.reads++;
        return this.#entries(count);
      },
      applied: (at: number) => void (this.appliedIndex = at),
      get log() {
        return { ...log, appliedIndex: log.appliedIndex(), pendingSnapshot: null };
      },
    };
    const machine = {
      apply: (_entry: Entry) => result,
      isCommitting: false,
      uncommittedBytes: 0,
      unsyncedBytes: 0,
      scatteredPages: () => 0,
      commitSome: () => "done",
    };
    this.applier = new Applier({
      machine,
      raft,
      limits: defaultLimits,
      disk: { own: "ok", foundRoom() {} },
      answer: (entries: readonly Entry[]) =>
        this.answered.push(...entries.map((each) => each.index)),
      synced() {},
    } as unknown as ApplierOptions);
  }

  #entries(count: number): Entry[] {
    const left = Array.from(
      { length: count - this.appliedIndex },
      (_, at) => this.appliedIndex + at + 1,
    );
    return left.map((at) => {
      return { index: index(at), term: term(1), kind: "command", timeMs: 0, data: noBytes };
    });
  }

  /** Entries of each turn until all are applied. */
  turns(): number[] {
    const found: number[] = [];
    for (let more = true; more;) {
      const before = this.appliedIndex;
      more = this.applier.run() === "more";
      found.push(this.appliedIndex - before);
    }
    return found;
  }
}

const expired: CommandResult = {
  op: "expired",
  keys: Array.from({ length: expiredPerEntry }, (_, at) => `${at}`),
};

test("entries that let very many rows go are spread over turns", () => {
  const scene = new Scene(250, expired);
  const turns = scene.turns();
  assert.is(Math.max(...turns), 3, "entries in a turn");
  assert.equal(
    scene.answered,
    Array.from({ length: 250 }, (_, at) => at + 1),
  );
});

test("so are deletes of ranges, and a single large one is a turn of its own", () => {
  const deleted: CommandResult = {
    op: "transaction",
    succeeded: true,
    results: [{ op: "deleteRange", deleted: 10_000 }],
    revision: index(1),
  } as unknown as CommandResult;
  assert.is(Math.max(...new Scene(20, deleted).turns()), 1);
});

test("entries of one row each go by hundreds", () => {
  const put: CommandResult = { op: "put", created: true, revision: index(1) };
  const scene = new Scene(10_000, put);
  assert.equal(
    scene.turns(),
    Array.from({ length: 10 }, () => 1_000),
  );
  assert.is(scene.reads, 1, "what is left of what was read is not read again");
});

test.run();
