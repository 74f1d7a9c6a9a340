/** A store in a map, for tests of what stands before a store. */

import type { ClientPort, Result, Status } from "../../server/client-port.ts";
import type { MembersAnswer } from "../../server/cluster-port.ts";
import type { MemberChange } from "../../server/member-change.ts";
import type { NodeId } from "../../server/raft/entry.ts";
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
}
