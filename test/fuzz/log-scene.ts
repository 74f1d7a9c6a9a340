/** A Raft log on a disk that forgets, driven by a tape, and what may be claimed of it at any time. */

import * as assert from "uvu/assert";
import { index, term, type Entry } from "../../server/raft/entry.ts";
import { DiskError } from "../../storage/disk.ts";
import { LogDamaged } from "../../storage/log-damage.ts";
import { RaftLog, type OpenLogResult } from "../../storage/raft-log.ts";
import { Random } from "../raft/random.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import type { Tape } from "./tape.ts";

export const directory = "log";

/** The power goes before an operation that was chosen. */
class PowerLoss extends Error {}

const bodySizes = [0, 1, 8, 24, 100, 440, 464, 600, 1_500] as const;

export class LogScene {
  readonly tape: Tape;
  readonly disk = new MemoryDisk();
  readonly #sizes: { segmentBytes: number; preallocateBytes: number; cacheBytes: number };
  log: RaftLog;
  /** What the log holds, synced or not. */
  entries: Entry[] = [];
  /** What no power loss may take: synced, and not replaced since. */
  known: Entry[] = [];
  /** Everything that was ever handed to the log, by place and term. */
  readonly written = new Map<string, Entry>();
  #term = 0;
  #salt = 0x1234_5678;

  constructor(tape: Tape) {
    this.tape = tape;
    this.#sizes = {
      segmentBytes: tape.pick([4_096, 700, 2_048, 100_000]),
      preallocateBytes: tape.pick([1_024, 8, 512, 4_096]),
      cacheBytes: tape.pick([600, 0, 100_000]),
    };
    this.disk.makeDirectory(directory);
    RaftLog.create({ disk: this.disk, directory, group: 0, drawSalt: () => this.#drawSalt() });
    this.log = this.#opened();
  }

  #drawSalt(): number {
    this.#salt = (Math.imul(this.#salt, 48_271) + 11) >>> 0;
    return this.#salt;
  }

  open(replayFrom = 1): OpenLogResult {
    return RaftLog.open({
      disk: this.disk,
      directory,
      group: 0,
      drawSalt: () => this.#drawSalt(),
      replayFrom: index(replayFrom),
      ...this.#sizes,
    });
  }

  #opened(): RaftLog {
    const result = this.open();
    if (result.ok) return result.log;
    throw new Error(`damaged without damage: ${JSON.stringify(result.damage)}`);
  }

  /** Something a node does, or that happens to it. */
  act(): void {
    const { tape } = this;
    switch (tape.below(8)) {
      case 0:
      case 1:
      case 2:
        this.append(this.#batch(this.entries.length + 1));
        if (!tape.once(3)) this.sync();
        break;
      case 3:
        this.sync();
        break;
      case 4:
        // A leader of a new term replaces what this one has behind some place.
        this.append(this.#batch(1 + tape.below(this.entries.length + 1)));
        this.sync();
        break;
      case 5:
        this.#fillDisk();
        break;
      case 6:
        this.#losePower();
        break;
      default:
        // The process is killed: what it wrote is there, synced or not.
        this.#restart();
    }
  }

  append(batch: readonly Entry[]): void {
    const first = batch[0]?.index ?? 0;
    for (const entry of batch) this.written.set(`${entry.index}/${entry.term}`, entry);
    // From here on what is replaced may be gone.
    this.known = this.known.slice(0, first - 1);
    if (this.log.append(batch) === "full") {
      // What the batch was to replace was cut off before.
      this.entries = this.entries.slice(0, first - 1);
      return;
    }
    this.entries = [...this.entries.slice(0, first - 1), ...batch];
  }

  sync(): void {
    this.log.sync();
    this.known = this.entries;
  }

  /** Of a term of its own, so that place and term name one entry for ever. */
  #batch(first: number): Entry[] {
    const { tape } = this;
    this.#term++;
    return Array.from({ length: 1 + tape.below(6) }, (_, i) => {
      const kind = tape.pick(["command", "noop", "configuration"] as const);
      const data = this.#body();
      return { index: index(first + i), term: term(this.#term), kind, timeMs: first * 10, data };
    });
  }

  #body(): Uint8Array {
    const { tape } = this;
    const size = tape.pick(bodySizes);
    // Half of them zeros, which are what a disk that lost something shows, too.
    if (!tape.once(2)) return new Uint8Array(size);
    const random = new Random(tape.seed());
    return Uint8Array.from({ length: size }, () => random.below(256));
  }

  /** A full disk refuses a batch and keeps nothing of it. */
  #fillDisk(): void {
    const { disk, tape } = this;
    disk.capacityBytes = disk.usedBytes + tape.pick([0, 100, 1_000]);
    try {
      this.append(this.#batch(this.entries.length + 1));
      this.sync();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // A truncation that finds no room for its note has not begun.
      if (error.operation !== "write" && error.operation !== "open") throw error;
    } finally {
      disk.capacityBytes = Infinity;
    }
    assert.equal(all(this.log), this.entries, "a refused batch leaves the log as it was");
  }

  #losePower(): void {
    const { disk, tape } = this;
    let left = tape.below(12);
    disk.beforeOperation = () => {
      if (left-- === 0) throw new PowerLoss();
    };
    try {
      this.append(this.#batch(1 + tape.below(this.entries.length + 1)));
      this.sync();
    } catch (error) {
      if (!(error instanceof PowerLoss)) throw error;
    }
    const random = new Random(tape.seed());
    disk.crash(() => random.float());
    this.#restart();
  }

  /** What was known is there, and all that is there was written; from now on it is all known. */
  #restart(): void {
    this.disk.beforeOperation = () => {};
    this.log = this.#opened();
    const found = all(this.log);
    assert.equal(found.slice(0, this.known.length), this.known, "nothing synced is lost");
    this.assertWritten(found);
    this.entries = found;
    this.known = found;
  }

  /** Nothing is invented, and nothing stands in another's place. */
  assertWritten(found: readonly Entry[], replayFrom = 1): void {
    let lastTerm = 0;
    // What comes before `replayFrom` may be compacted.
    const first = found[0]?.index ?? 1;
    assert.ok(first <= replayFrom, `it begins at ${first}, and ${replayFrom} is needed`);
    for (const [i, entry] of found.entries()) {
      assert.is(entry.index, first + i, "entries follow each other");
      assert.ok(entry.term >= lastTerm, "terms never fall");
      lastTerm = entry.term;
      assert.equal(entry, this.written.get(`${entry.index}/${entry.term}`), "an entry was written");
    }
  }

  get files(): string[] {
    return this.disk.list(directory).map((name) => `${directory}/${name}`);
  }
}

export function all(log: RaftLog): Entry[] {
  const found: Entry[] = [];
  for (let at = log.firstIndex; at <= log.lastIndex; at = index(at + 1)) {
    found.push(...log.entries(at, at, 0));
  }
  return found;
}

/** Null where reading says that something is damaged. */
export function readable(result: OpenLogResult): Entry[] | null {
  if (!result.ok) return null;
  try {
    const found = all(result.log);
    while (result.log.scrub() === "more");
    return found;
  } catch (error) {
    if (error instanceof LogDamaged) return null;
    throw error;
  }
}
