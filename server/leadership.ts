/** Who leads, and what this node is, as it is shown to people. */

import type { NodeId } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";

export type NodeRole = "leader" | "follower" | "candidate" | "learner";

export interface Leadership {
  readonly role: NodeRole;
  readonly term: number;
  readonly leaderId: NodeId | null;
}

export function leadershipOf(raft: Raft): Leadership {
  const { role, term, leaderId } = raft;
  return { role: shownRole(role.kind, raft.isLearner), term, leaderId };
}

export const isSameLeadership = (a: Leadership, b: Leadership): boolean =>
  a.role === b.role && a.term === b.term && a.leaderId === b.leaderId;

function shownRole(kind: Raft["role"]["kind"], isLearner: boolean): NodeRole {
  if (kind === "leader") return "leader";
  if (kind === "candidate" || kind === "preCandidate") return "candidate";
  return isLearner ? "learner" : "follower";
}
