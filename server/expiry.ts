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
 * Entries that are on their way at a time while very many rows are due: what one waits for, the disks
 * and the followers, the others wait for as well. More would be applied in one go, and other work wait.
 */
const underWayMax = 3;

export class Expiry {
  readonly #options: ExpiryOptions;
  #underWay = 0;

  constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  tick(): void {
    // One alone, until it is known that there are more rows than it lets go.
    if (this.#underWay === 0) this.#proposeWhereDue();
  }

  #proposeMore(): void {
    while (this.#underWay < underWayMax && this.#proposeWhereDue());
  }

  /** Whether there was a reason, and room. */
  #proposeWhereDue(): boolean {
    const { machine, raft, logTime } = this.#options;
    const { nextDeadlineMs } = machine;
    const { role } = raft;
    if (nextDeadlineMs === null) return false;
    if (role.kind !== "leader" || role.transfer !== null) return false;
    const timeMs = logTime.nowMs(role.logTimeMs);
    // Whole milliseconds are written down: one that has just begun is not over.
    const isDue = nextDeadlineMs < timeMs;
    return (isDue || timeMs - machine.applied.appliedTimeMs >= stampEveryMs) && this.#propose();
  }

  #propose(): boolean {
    const { writes, nowMs, added } = this.#options;
    const isAdded = writes.add(command, nowMs(), (answer) => {
      this.#underWay--;
      if (!answer.ok || answer.result.op !== "expired") return;
      if (answer.result.keys.length >= expiredPerEntry) this.#proposeMore();
    });
    if (!isAdded) return false;
    this.#underWay++;
    added();
    return true;
  }
}
