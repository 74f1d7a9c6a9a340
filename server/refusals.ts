/** What it means for this node that it and a peer which it dialed do not get on. */

import type { PeerIdentity, Refusal } from "./handshake.ts";
import { unreachable } from "./raft/assert.ts";

/** One of the two has refused the other. */
export interface Refused {
  readonly refusal: Refusal;
  /** The peer's, where it is proved to be true. */
  readonly identity: PeerIdentity | null;
  /** The peer has refused us, and not we the peer. */
  readonly isTheirs: boolean;
}

/**
 * - `retired`: this directory was removed, and is not to run any more.
 * - `foreign`: the peer belongs to another cluster. Of one peer that is his affair.
 * - `waiting`: there is a cluster that has to take this empty directory in.
 * - `differentMembers`: this empty node was started with another list.
 * - `strange`: nothing that this node could act on.
 */
export type RefusalMeaning = "retired" | "foreign" | "waiting" | "differentMembers" | "strange";

/**
 * Only what the peer holds against us says anything about us. Where we refuse the peer (an old directory
 * still runs at the address of the one that has replaced it, say) it is told of, and nothing more. But
 * different lists are both sides' mistake, and nothing is lost where nothing was formed.
 */
export function meaningOf({ refusal, isTheirs }: Refused, isFormed: boolean): RefusalMeaning {
  const { reason } = refusal;
  switch (reason) {
    case "differentMembers":
      return isFormed ? "strange" : "differentMembers";
    case "retired":
      return isTheirs ? "retired" : "strange";
    case "wrongCluster":
      return isTheirs && isFormed ? "foreign" : "strange";
    case "wiped":
    case "unknownMember":
      return isTheirs && !isFormed ? "waiting" : "strange";
    case "wrongSecret":
    case "wrongVersion":
    case "self":
    case "malformed":
      return "strange";
    default:
      return unreachable(reason);
  }
}
