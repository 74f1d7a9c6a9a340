/** A store in memory behind the client port, for the tests of the prompt. */

import type {
  ClientPort,
  DeleteAnswer,
  GetAnswer,
  ListAnswer,
  ListOptions,
  PutAnswer,
  Result,
  ReadOptions,
  Status,
  WriteOptions,
} from "../../server/client-port.ts";
import type { CompactAnswer, MemberInfo, MembersAnswer } from "../../server/cluster-port.ts";
import type { MemberChange } from "../../server/member-change.ts";
import { RowsClient } from "../server/rows-client.ts";
import { index, nodeId, term, type NodeId } from "../../server/raft/entry.ts";

export const exampleStatus: Status = {
  nodeId: nodeId(1),
  clusterId: "c1",
  role: "leader",
  term: term(3),
  leaderId: nodeId(1),
  commitIndex: index(9),
  appliedIndex: index(8),
  firstLogIndex: index(1),
  lastLogIndex: index(9),
  snapshotIndex: index(0),
  mending: null,
  stateHash: "00ff",
  members: [
    { id: nodeId(1), role: "voter", raft: "127.0.0.1:63001", http: "127.0.0.1:8001" },
    {
      id: nodeId(2),
      role: "voter",
      raft: "127.0.0.1:63002",
      http: "127.0.0.1:8002",
      match: index(7),
      reachable: false,
    },
  ],
  disk: { freeBytes: 1 << 30, state: "ok" },
  version: "0.1.0",
  uptimeSeconds: 61,
  limits: {},
};

export const exampleMembers: readonly MemberInfo[] = [
  {
    id: nodeId(1),
    role: "voter",
    raft: "127.0.0.1:63001",
    http: "127.0.0.1:8001",
    incarnation: "1".repeat(32),
  },
  {
    id: nodeId(4),
    role: "learner",
    raft: "127.0.0.1:63004",
    http: "127.0.0.1:8004",
    incarnation: null,
  },
];

export class MemoryStore extends RowsClient implements ClientPort {
  /** What was asked for, oldest first. */
  readonly calls: string[] = [];
  /** Writes wait for it while it is set. */
  gate: Promise<void> | null = null;

  /** For the tests' own looking and setting, past everything else. */
  readonly values = {
    get: (key: string): Uint8Array | undefined => this.rows.get(key)?.value,
    has: (key: string): boolean => this.rows.has(key),
    set: (key: string, value: Uint8Array): void => {
      const revision = index(1);
      this.rows.set(key, { key, value, contentType: null, revision, createRevision: revision });
    },
    keys: (): Iterable<string> => this.rows.keys(),
  };

  override async put(key: string, value: Uint8Array, options?: WriteOptions): Promise<PutAnswer> {
    this.calls.push(`put ${key}`);
    await this.gate;
    return super.put(key, value, options);
  }

  override async get(key: string, options?: ReadOptions): Promise<GetAnswer> {
    this.calls.push(`get ${key}`);
    return super.get(key, options);
  }

  override async delete(key: string, options?: WriteOptions): Promise<DeleteAnswer> {
    this.calls.push(`del ${key}`);
    return super.delete(key, options);
  }

  override async list(options: ListOptions): Promise<ListAnswer> {
    this.calls.push(`list ${options.prefix ?? ""}`);
    return super.list(options);
  }

  async status(): Promise<Result<{ readonly status: Status }>> {
    return this.failure ?? { ok: true, status: exampleStatus };
  }

  async members(): Promise<MembersAnswer> {
    if (this.failure !== null) return this.failure;
    return { ok: true, members: exampleMembers, revision: 7 };
  }

  async changeMembers(change: MemberChange, revision?: number): Promise<MembersAnswer> {
    this.calls.push(`${change.kind} ${change.id} at ${revision ?? "now"}`);
    if (this.failure !== null) return this.failure;
    return { ok: true, members: exampleMembers, revision: 8 };
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
