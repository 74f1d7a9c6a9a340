/** A store in memory behind the client port, for the tests of the prompt. */

import type {
  ClientPort,
  DeleteAnswer,
  Failure,
  GetAnswer,
  ListAnswer,
  ListOptions,
  PutAnswer,
  Result,
  Status,
} from "../../server/client-port.ts";
import type { MemberInfo, MembersAnswer } from "../../server/cluster-port.ts";
import type { MemberChange } from "../../server/member-change.ts";
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

export class MemoryStore implements ClientPort {
  readonly values = new Map<string, Uint8Array>();
  /** What was asked for, oldest first. */
  readonly calls: string[] = [];
  /** Everything fails with it while it is set. */
  failure: Failure | null = null;
  /** Writes wait for it while it is set. */
  gate: Promise<void> | null = null;
  #revision = 0;

  async put(key: string, value: Uint8Array): Promise<PutAnswer> {
    this.calls.push(`put ${key}`);
    await this.gate;
    if (this.failure !== null) return this.failure;
    const created = !this.values.has(key);
    this.values.set(key, value);
    return { ok: true, created, revision: index(++this.#revision) };
  }

  async get(key: string): Promise<GetAnswer> {
    this.calls.push(`get ${key}`);
    if (this.failure !== null) return this.failure;
    const value = this.values.get(key);
    const row = value === undefined ? null : this.#row(key, value);
    return { ok: true, level: "linearizable", row };
  }

  async delete(key: string): Promise<DeleteAnswer> {
    this.calls.push(`del ${key}`);
    if (this.failure !== null) return this.failure;
    const deleted = this.values.delete(key) ? 1 : 0;
    return { ok: true, deleted, revision: index(++this.#revision) };
  }

  async list(options: ListOptions): Promise<ListAnswer> {
    this.calls.push(`list ${options.prefix}`);
    if (this.failure !== null) return this.failure;
    const limit = options.limit ?? 1_000;
    const keys = [...this.values.keys()].filter((key) => key.startsWith(options.prefix)).sort();
    const none = new Uint8Array();
    const rows = keys.slice(0, limit).map((key) => {
      return this.#row(key, options.keysOnly === true ? none : (this.values.get(key) ?? none));
    });
    const more = keys.length > limit;
    const level = options.level ?? "linearizable";
    return { ok: true, level, rows, more, revision: index(this.#revision) };
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

  #row(key: string, value: Uint8Array) {
    const revision = index(this.#revision);
    return { key, value, contentType: null, revision, createRevision: revision };
  }
}
