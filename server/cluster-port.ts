/** What the prompt, the one-shot commands and the HTTP routes ask about the members of the cluster. */

import type { Result } from "./client-port.ts";
import type { MemberChange } from "./member-change.ts";
import type { MemberRole } from "./raft/configuration.ts";
import type { Index, NodeId } from "./raft/entry.ts";

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

/** What a node has given up of its past, and what of it is left. */
export interface Compacted {
  readonly nodeId: NodeId;
  /** Up to where it was asked to. */
  readonly revision: Index;
  /** Changes behind it can be watched still. */
  readonly oldestRevision: Index;
  /** The first entry in its log, which goes in whole segments. */
  readonly firstLogIndex: Index;
  /** How far its state on disk stands for the log. */
  readonly snapshotIndex: Index;
}

export type CompactAnswer = Result<{ readonly compacted: Compacted }>;

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
  /**
   * This node alone gives up its log and what it remembers for watchers, up to `revision` or to what it has
   * applied, as far as nobody needs it: log and memory are each node's own, and a node that is away, or
   * behind, is nothing that the others have to wait for.
   */
  compact(revision?: number): Promise<CompactAnswer>;
}
