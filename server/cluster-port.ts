/** What the prompt, the one-shot commands and the HTTP routes ask about the members of the cluster. */

import type { Result } from "./client-port.ts";
import type { MemberChange } from "./member-change.ts";
import type { MemberRole } from "./raft/configuration.ts";
import type { NodeId } from "./raft/entry.ts";

/** A member whose promotion is under way is a learner to everybody else. */
export type ShownRole = Exclude<MemberRole, "promoted">;

export interface MemberInfo {
  readonly id: NodeId;
  readonly role: ShownRole;
  readonly raft: string;
  readonly http: string;
  /** Null: its machine has not come yet. */
  readonly incarnation: string | null;
}

/** `revision` names these very members: a change is of them, or it is refused. */
export type MembersAnswer = Result<{
  readonly members: readonly MemberInfo[];
  readonly revision: number;
}>;

export interface ClusterPort {
  /** As of now: a linearizable read. */
  members(): Promise<MembersAnswer>;
  /**
   * One change of one member, done when it is committed. `revision` is of the members it is based on;
   * without it, of those that are listed at this moment.
   */
  changeMembers(change: MemberChange, revision?: number): Promise<MembersAnswer>;
  /** Answered when that voter leads. */
  transferLeadership(to: NodeId): Promise<Result<{ readonly leader: NodeId }>>;
}
