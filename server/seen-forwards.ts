/** Commands that a node passed on may come twice: a second entry would be a second write. */

import type { NodeId } from "./raft/entry.ts";
import { readCommandHeader } from "./state-machine/command-header.ts";

/** A command is recognised by its place in its sender's numbering. */
interface Seen {
  session: number;
  highest: number;
}

export class SeenForwards {
  readonly #seen = new Map<NodeId, Seen>();

  /** Whether `command` was framed by `from` itself and did not come before; from now on it has. */
  isFresh(from: NodeId, command: Uint8Array): boolean {
    const header = readCommandHeader(command);
    if (header?.origin !== from) return false;
    const seen = this.#seen.get(from);
    if (seen?.session === header.session) {
      if (header.sequence <= seen.highest) return false;
      seen.highest = header.sequence;
    } else {
      this.#seen.set(from, { session: header.session, highest: header.sequence });
    }
    return true;
  }
}
