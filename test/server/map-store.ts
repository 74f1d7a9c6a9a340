/** A store in a map, for tests of what stands before a store. */

import type { ClientPort, Result, Status } from "../../server/client-port.ts";
import type { CompactAnswer, MembersAnswer } from "../../server/cluster-port.ts";
import type { MemberChange } from "../../server/member-change.ts";
import { index, nodeId, type NodeId } from "../../server/raft/entry.ts";
import { RowsClient } from "./rows-client.ts";

export class MapStore extends RowsClient implements ClientPort {
  readonly changes: { change: MemberChange; revision: number | undefined }[] = [];

  async status(): Promise<Result<{ readonly status: Status }>> {
    if (this.failure !== null) return this.failure;
    return { ok: true, status: { nodeId: 1, role: "leader" } as unknown as Status };
  }

  async members(): Promise<MembersAnswer> {
    if (this.failure !== null) return this.failure;
    return { ok: true, members: [], revision: 7 };
  }

  async changeMembers(change: MemberChange, revision?: number): Promise<MembersAnswer> {
    this.changes.push({ change, revision });
    if (this.failure !== null) return this.failure;
    return { ok: true, members: [], revision: 8 };
  }

  async transferLeadership(to: NodeId): Promise<Result<{ readonly leader: NodeId }>> {
    return this.failure ?? { ok: true, leader: to };
  }

  async compact(revision = 7): Promise<CompactAnswer> {
    if (this.failure !== null) return this.failure;
    const [through, firstLogIndex, oldestRevision] = [index(revision), index(3), index(revision)];
    const reached = { oldestRevision, firstLogIndex, snapshotIndex: through };
    return { ok: true, compacted: { nodeId: nodeId(1), revision: through, ...reached } };
  }
}
