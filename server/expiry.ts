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

export class Expiry {
  readonly #options: ExpiryOptions;
  /** One at a time: other work comes in between. */
  #isUnderWay = false;

  constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  tick(): void {
    const { machine, raft, logTime } = this.#options;
    const { nextDeadlineMs } = machine;
    const { role } = raft;
    if (this.#isUnderWay || nextDeadlineMs === null) return;
    if (role.kind !== "leader" || role.transfer !== null) return;
    const timeMs = logTime.nowMs(role.logTimeMs);
    // Whole milliseconds are written down: one that has just begun is not over.
    const isDue = nextDeadlineMs < timeMs;
    if (isDue || timeMs - machine.applied.appliedTimeMs >= stampEveryMs) this.#propose();
  }

  #propose(): void {
    const { writes, nowMs, added } = this.#options;
    this.#isUnderWay = writes.add(command, nowMs(), (answer) => {
      this.#isUnderWay = false;
      if (!answer.ok || answer.result.op !== "expired") return;
      if (answer.result.keys.length === expiredPerEntry) this.tick();
    });
    if (this.#isUnderWay) added();
  }
}
