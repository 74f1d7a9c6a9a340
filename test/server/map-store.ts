/** A store in a map, for tests of what stands before a store. */

import type {
  ClientPort,
  DeleteAnswer,
  Failure,
  GetAnswer,
  ListAnswer,
  ListOptions,
  PutAnswer,
  ReadOptions,
  Result,
  Status,
  WriteOptions,
} from "../../server/client-port.ts";
import type { MembersAnswer } from "../../server/cluster-port.ts";
import type { MemberChange } from "../../server/member-change.ts";
import type { Index, NodeId } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";

export class MapStore implements ClientPort {
  readonly rows = new Map<string, Row>();
  /** Answers everything, while it is set. */
  failure: Failure | null = null;
  writes = 0;
  readonly changes: { change: MemberChange; revision: number | undefined }[] = [];
  #revision = 0;

  async put(key: string, value: Uint8Array, options?: WriteOptions): Promise<PutAnswer> {
    this.writes += 1;
    if (this.failure !== null) return this.failure;
    const old = this.rows.get(key);
    const revision = (this.#revision += 1) as Index;
    const contentType = options?.contentType ?? null;
    const createRevision = old?.createRevision ?? revision;
    this.rows.set(key, { key, value, contentType, revision, createRevision });
    return { ok: true, created: old === undefined, revision };
  }

  async get(key: string, options?: ReadOptions): Promise<GetAnswer> {
    if (this.failure !== null) return this.failure;
    const row = this.rows.get(key) ?? null;
    if (options?.level === "local") return { ok: true, level: "local", ageMs: 12.4, row };
    return { ok: true, level: "linearizable", row };
  }

  async delete(key: string): Promise<DeleteAnswer> {
    this.writes += 1;
    if (this.failure !== null) return this.failure;
    const revision = (this.#revision += 1) as Index;
    return { ok: true, deleted: this.rows.delete(key) ? 1 : 0, revision };
  }

  async list(options: ListOptions): Promise<ListAnswer> {
    if (this.failure !== null) return this.failure;
    const { prefix, after = null, limit = 1000 } = options;
    const all = [...this.rows.values()]
      .filter((row) => row.key.startsWith(prefix) && (after === null || row.key > after))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const rows = all.slice(0, limit);
    const revision = this.#revision as Index;
    return { ok: true, level: "linearizable", rows, more: all.length > limit, revision };
  }

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
