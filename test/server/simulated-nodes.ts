/** A cluster of real nodes over simulated time, network and storage, for tests of the loop. */

import { defaultLimits, type Limits } from "../../server/limits.ts";
import { Node } from "../../server/node.ts";
import type { WriteAnswer } from "../../server/pending-writes.ts";
import type {
  Clock,
  HardStateStore,
  LogStore,
  Network,
  Random,
  Timer,
} from "../../server/ports.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { must } from "../../server/raft/assert.ts";
import { configuration } from "../../server/raft/configuration.ts";
import {
  index,
  nodeId,
  term,
  type Entry,
  type HardState,
  type Index,
} from "../../server/raft/entry.ts";
import type { NodeId, Term } from "../../server/raft/entry.ts";
import { commandBytes } from "../../server/state-machine/command-header.ts";
import { decodeCommand, encodeCommand } from "../../server/state-machine/codec.ts";
import type { Answer, CommandResult, Query } from "../../server/state-machine/command.ts";
import type { AppliedState, StateDigest, StateMachine } from "../../server/state-machine/port.ts";

interface Task {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

/** Time that moves only when somebody runs it. */
export class VirtualTime {
  nowMs = 0;
  #lastNumber = 0;
  #due: Task[] = [];

  at(atMs: number, run: () => void): Timer {
    this.#lastNumber++;
    const task = { atMs, number: this.#lastNumber, run };
    this.#due.push(task);
    return {
      cancel: () => {
        this.#due = this.#due.filter((other) => other !== task);
      },
    };
  }

  clock(): Clock {
    return {
      monotonicMs: () => this.nowMs,
      wallMs: () => this.nowMs,
      after: (ms, run) => this.at(this.nowMs + ms, run),
      every: (ms, run) => this.#every(ms, run),
      soon: (run) => void this.at(this.nowMs, run),
    };
  }

  /** Runs what is due until `done` holds; throws after `limitMs` of simulated time. */
  until(done: () => boolean, limitMs: number): void {
    const endMs = this.nowMs + limitMs;
    while (!done()) {
      const next = this.#due.reduce<Task | null>(
        (best, task) =>
          best === null ||
          task.atMs < best.atMs ||
          (task.atMs === best.atMs && task.number < best.number)
            ? task
            : best,
        null,
      );
      if (!next || next.atMs > endMs)
        throw new Error(`not within ${limitMs} ms: ${done.toString()}`);
      this.#due.splice(this.#due.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
  }

  run(ms: number): void {
    let over = false;
    this.at(this.nowMs + ms, () => {
      over = true;
    });
    this.until(() => over, ms);
  }

  #every(ms: number, run: () => void): Timer {
    let timer: Timer | null = null;
    const schedule = (): void => {
      timer = this.at(this.nowMs + ms, () => {
        schedule();
        run();
      });
    };
    schedule();
    return { cancel: () => timer?.cancel() };
  }
}

/** A log that loses what was not synced when its node crashes. */
export class MemoryLogStore implements LogStore {
  #entries: Entry[] = [];
  #syncedCount = 0;
  failNextSync = false;

  get firstIndex(): Index {
    return index(1);
  }

  get lastIndex(): Index {
    return index(this.#entries.length);
  }

  term(at: Index): Term | null {
    return at === 0 ? term(0) : (this.#entries[at - 1]?.term ?? null);
  }

  entries(from: Index, through: Index): Entry[] {
    return this.#entries.slice(from - 1, through);
  }

  append(entries: readonly Entry[]): void {
    const first = must(entries[0], "an append has entries");
    this.#entries.length = first.index - 1;
    this.#syncedCount = Math.min(this.#syncedCount, this.#entries.length);
    this.#entries.push(...entries);
  }

  sync(): void {
    if (this.failNextSync) throw new Error("EIO: the sync failed");
    this.#syncedCount = this.#entries.length;
  }

  crash(): void {
    this.#entries.length = this.#syncedCount;
  }
}

class MemoryHardState implements HardStateStore {
  current: HardState = { term: term(0), vote: null };

  save(state: HardState): void {
    this.current = state;
  }
}

/** Rows in a map. Survives a crash, as a state machine on disk does. */
class MemoryMachine implements StateMachine {
  readonly rows = new Map<string, { value: Uint8Array; revision: Index }>();
  readonly history: string[] = [];
  readonly unsyncedBytes = 0;
  readonly uncommittedBytes = 0;
  applied: AppliedState = { appliedIndex: index(0), appliedTerm: term(0), configuration: null };

  apply(entries: readonly Entry[]): (CommandResult | null)[] {
    return entries.map((entry) => {
      this.applied = { ...this.applied, appliedIndex: entry.index, appliedTerm: entry.term };
      if (entry.kind !== "command") return null;
      const command = decodeCommand(commandBytes(entry.data));
      if (command.op === "refused") return command;
      this.history.push(`${command.op} ${command.key}`);
      const existed = this.rows.has(command.key);
      if (command.op === "put") {
        this.rows.set(command.key, { value: command.value, revision: entry.index });
        return { op: "put", created: !existed, revision: entry.index };
      }
      this.rows.delete(command.key);
      return { op: "delete", deleted: existed ? 1 : 0, revision: entry.index };
    });
  }

  lookup(query: Query): Answer {
    if (query.type === "list") return { type: "list", rows: [], more: false };
    const found = this.rows.get(query.key);
    if (!found) return { type: "get", row: null };
    const { value, revision } = found;
    const row = { key: query.key, value, contentType: null, revision, createRevision: revision };
    return { type: "get", row };
  }

  digest(): StateDigest {
    const { appliedIndex } = this.applied;
    return { appliedIndex, stateHash: "0".repeat(16), historyHash: "0".repeat(8) };
  }

  sync(): Index {
    return this.applied.appliedIndex;
  }

  commit(): void {}

  close(): void {}
}

class Host {
  readonly log = new MemoryLogStore();
  readonly hardState = new MemoryHardState();
  readonly machine = new MemoryMachine();
  node: Node | null = null;
  died: unknown = null;
}

export class SimulatedNodes {
  readonly time = new VirtualTime();
  readonly ids: readonly NodeId[];
  /** What a test may do to a message on its way: let it pass, lose it, or deliver it twice. */
  onMessage: (from: NodeId, to: NodeId, message: PeerMessage) => 0 | 1 | 2 = () => 1;
  readonly warnings: string[] = [];
  readonly #hosts = new Map<NodeId, Host>();
  readonly #limits: Limits;
  #seed: number;

  constructor(options: { count: number; seed?: number; limits?: Partial<Limits> }) {
    this.#seed = options.seed ?? 1;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.ids = Array.from({ length: options.count }, (_, i) => nodeId(i + 1));
    for (const id of this.ids) {
      this.#hosts.set(id, new Host());
      this.start(id);
    }
  }

  host(id: NodeId): Host {
    return must(this.#hosts.get(id), "there is such a node");
  }

  node(id: NodeId): Node {
    return must(this.host(id).node, `node ${id} runs`);
  }

  start(id: NodeId): void {
    const host = this.host(id);
    const members = this.ids.map((member) => ({
      id: member,
      role: "voter" as const,
      raft: `raft-${member}`,
      http: `http-${member}`,
      incarnation: String(member),
    }));
    host.node = new Node({
      self: id,
      formed: configuration(members),
      limits: this.#limits,
      clock: this.time.clock(),
      random: this.#random(),
      network: this.#network(id),
      log: host.log,
      hardState: host.hardState,
      machine: host.machine,
      fatal: (error) => {
        host.died = error;
        this.crash(id);
      },
      leadershipChanged: () => {},
      warn: (text) => this.warnings.push(text),
    });
    host.node.start();
  }

  /** kill -9 */
  crash(id: NodeId): void {
    const host = this.host(id);
    host.node?.stop();
    host.node = null;
    host.log.crash();
  }

  get running(): NodeId[] {
    return this.ids.filter((id) => this.host(id).node !== null);
  }

  get leader(): NodeId | null {
    return this.running.find((id) => this.node(id).leadership.role === "leader") ?? null;
  }

  /** Runs until one node leads and all running ones follow it. */
  awaitLeader(limitMs = 10_000): NodeId {
    this.time.until(() => {
      const { leader } = this;
      return (
        leader !== null && this.running.every((id) => this.node(id).leadership.leaderId === leader)
      );
    }, limitMs);
    return must(this.leader, "there is a leader now");
  }

  put(id: NodeId, key: string, value: string): { answer: WriteAnswer | null } {
    const call: { answer: WriteAnswer | null } = { answer: null };
    const bytes = new TextEncoder().encode(value);
    const command = encodeCommand({ op: "put", key, value: bytes, contentType: null });
    this.node(id).write(command, (answer) => {
      call.answer = answer;
    });
    return call;
  }

  /** The value a linearizable read finds: undefined without one, "error: …" where it is refused. */
  get(id: NodeId, key: string): { answer: string | undefined | null } {
    const call: { answer: string | undefined | null } = { answer: null };
    const node = this.node(id);
    node.read((answer) => {
      if (!answer.ok) {
        call.answer = `error: ${answer.error}`;
        return;
      }
      const found = node.machine.lookup({ type: "get", key });
      const value = found.type === "get" ? found.row?.value : undefined;
      call.answer = value && new TextDecoder().decode(value);
    });
    return call;
  }

  #network(from: NodeId): Network {
    return {
      send: (to, message) => {
        const copies = this.onMessage(from, to, message);
        for (let copy = 0; copy < copies; copy++) {
          this.time.at(this.time.nowMs + 1, () =>
            this.#hosts.get(to)?.node?.receive(from, message),
          );
        }
        return copies > 0;
      },
      flush: () => {},
      isConnected: (peer) => this.host(peer).node !== null,
    };
  }

  /** Lehmer's generator: enough for election timeouts. */
  #random(): Random {
    return {
      fraction: () => {
        this.#seed = (this.#seed * 48_271) % 2_147_483_647;
        return this.#seed / 2_147_483_647;
      },
      bytes: (count) => new Uint8Array(count),
    };
  }
}
