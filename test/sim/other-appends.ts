/**
 * Appends that another leader of the same term might have sent: one that knows less of what the follower
 * has begins earlier, and a smaller batch ends earlier. A follower has to cope with all of them.
 */

import type { LogStore } from "../../server/ports.ts";
import { must } from "../../server/raft/assert.ts";
import { index, type Index } from "../../server/raft/entry.ts";
import type { Append } from "../../server/raft/message.ts";
import { LogDamaged } from "../../storage/log-damage.ts";
import type { Random } from "../raft/random.ts";
import type { SimNetwork } from "./network.ts";
import type { SimProcess } from "./process.ts";
import type { Coverage } from "./trace.ts";

/** How far from the end of a log the place is looked for where it parts from another. */
const partingMax = 50;
/** Entries by which one may begin earlier. */
const earlierMax = 5;

export class OtherAppends {
  readonly #network: SimNetwork;
  readonly #random: Random;
  readonly #coverage: Coverage;

  constructor(world: { network: SimNetwork; random: Random; coverage: Coverage }) {
    this.#network = world.network;
    this.#random = world.random;
    this.#coverage = world.coverage;
  }

  /** Sends one before `message`, as often as the network is to bring such. */
  send({ id, life, nowMs }: SimProcess, to: SimProcess, message: Append): void {
    if (this.#network.otherAppendRate === 0 || !life) return;
    const { previousIndex, previousTerm, entries } = message;
    const { log } = life;
    const parting = partingOf(log, to, previousIndex);
    const rate = parting === null ? this.#network.otherAppendRate : 1;
    if (this.#random.float() >= rate) return;
    const latest = parting ?? previousIndex;
    const earlier = Math.max(log.firstIndex - 1, latest - this.#random.below(earlierMax + 1));
    const isWritten = log.term(previousIndex) === previousTerm;
    const first = index(isWritten ? Math.min(earlier, previousIndex) : previousIndex);
    const before =
      first < previousIndex ? log.entries(index(first + 1), previousIndex, Infinity) : [];
    const all = [...before, ...entries];
    const other = {
      ...message,
      previousIndex: first,
      previousTerm: first === previousIndex ? previousTerm : must(log.term(first), "it is there"),
      entries: all.slice(0, this.#random.below(all.length + 1)),
    };
    this.#coverage.add(parting === null ? "another append" : "another append where logs part");
    this.#network.send(id, to.id, { message: other, sentAtMs: nowMs });
  }
}

/** The last entry on which the logs agree, where the receiver's end contradicts the sender's. */
function partingOf(log: LogStore, { life }: SimProcess, previousIndex: Index): Index | null {
  const other = life?.log;
  if (!other) return null;
  const last = Math.min(previousIndex, other.lastIndex);
  const first = Math.max(log.firstIndex, other.firstIndex, last - partingMax);
  try {
    for (let i = last; i >= first; i--) {
      if (log.term(index(i)) === other.term(index(i))) return i === last ? null : index(i);
    }
  } catch (error) {
    // It is damaged, and nobody has noticed yet; by us it is not to be noticed.
    if (!(error instanceof LogDamaged)) throw error;
  }
  return null;
}
