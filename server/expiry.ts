/** The leader's share in letting rows go: it says in the log what time it is when some are due. */

import type { LogTime } from "./log-time.ts";
import type { PendingWrites } from "./pending-writes.ts";
import type { Raft } from "./raft/raft.ts";
import { encodeCommand } from "./state-machine/codec.ts";
import { expiredPerEntry } from "./state-machine/deadlines.ts";
import type { StateMachine } from "./state-machine/port.ts";

/**
 * While rows wait for their time, the log is stamped so often even where nobody writes: whoever leads
 * next, restarted or not, knows the time.
 */
const stampEveryMs = 1_000;

const command = encodeCommand({ op: "expire" });

export interface ExpiryOptions {
  readonly machine: StateMachine;
  readonly raft: Raft;
  readonly writes: PendingWrites;
  readonly logTime: LogTime;
  readonly nowMs: () => number;
  /** Something was added to the writes. */
  readonly added: () => void;
}

/**
 * While very many rows are due, several entries are on their way together: what one waits for, the disks
 * and the followers, the others wait for as well. Whoever writes or reads meanwhile waits for such a round,
 * though: so they are as many as keep it this short, and the next begins with a tick, so that a follower
 * that has fallen behind catches up in between.
 */
const underWayMax = 5;
const fastRoundMs = 25;
const slowRoundMs = 40;

export class Expiry {
  readonly #options: ExpiryOptions;
  #underWay = 0;
  /** Entries of a round; one, until it is known that there are more rows than it lets go. */
  #roundMax = 1;
  #roundBeganMs = 0;
  /** All entries of the round that were applied have let go what they may: there is more. */
  #isFull = false;

  constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  tick(): void {
    if (this.#underWay > 0) return;
    if (!this.#isFull) this.#roundMax = 1;
    this.#isFull = true;
    this.#roundBeganMs = this.#options.nowMs();
    while (this.#underWay < this.#roundMax && this.#isDue() && this.#propose());
    if (this.#underWay === 0) this.#isFull = false;
  }

  #isDue(): boolean {
    const { machine, raft, logTime } = this.#options;
    const { nextDeadlineMs } = machine;
    const { role } = raft;
    if (nextDeadlineMs === null) return false;
    if (role.kind !== "leader" || role.transfer !== null) return false;
    const timeMs = logTime.nowMs(role.logTimeMs);
    // Whole milliseconds are written down: one that has just begun is not over.
    return nextDeadlineMs < timeMs || timeMs - machine.applied.appliedTimeMs >= stampEveryMs;
  }

  #propose(): boolean {
    const { writes, nowMs, added } = this.#options;
    const isAdded = writes.add(command, nowMs(), (answer) => {
      this.#underWay--;
      const keys = answer.ok && answer.result.op === "expired" ? answer.result.keys : [];
      this.#isFull &&= keys.length >= expiredPerEntry;
      if (this.#underWay === 0 && this.#isFull) this.#adapt();
    });
    if (!isAdded) return false;
    this.#underWay++;
    added();
    return true;
  }

  #adapt(): void {
    const tookMs = this.#options.nowMs() - this.#roundBeganMs;
    if (tookMs < fastRoundMs) this.#roundMax = Math.min(underWayMax, this.#roundMax + 1);
    else if (tookMs > slowRoundMs) this.#roundMax = Math.max(1, this.#roundMax - 1);
  }
}
