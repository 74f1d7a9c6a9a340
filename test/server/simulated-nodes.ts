/** A cluster of real nodes over simulated time, network and storage, for tests of the loop. */

import { defaultLimits, type Limits } from "../../server/limits.ts";
import { Node } from "../../server/node.ts";
import type { WriteAnswer } from "../../server/pending-writes.ts";
import type { Clock, Network, Random, Timer } from "../../server/ports.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { must } from "../../server/raft/assert.ts";
import { configuration, type Configuration } from "../../server/raft/configuration.ts";
import { nodeId, type NodeId } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import {
  createGroup,
  openGroup,
  type GroupFiles,
  type OpenedMachine,
} from "../../storage/group-files.ts";
import type { RaftLog } from "../../storage/raft-log.ts";
import { ReservedSpace } from "../../storage/reserved-space.ts";
import { SnapshotFiles } from "../../storage/snapshot-files.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { MemoryMachine } from "./memory-machine.ts";

interface Task {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

/** Time that moves only when somebody runs it. */
export class VirtualTime {
  nowMs = 0;
  /** The system's clock is ahead of the monotonic one by this. */
  wallOffsetMs = 0;
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
      wallMs: () => this.nowMs + this.wallOffsetMs,
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

const directory = "group";
const logSizes = { segmentBytes: 4096, preallocateBytes: 1024 };

/** What of one node outlives its process, and the process. */
class Host {
  readonly disk = new MemoryDisk();
  readonly machine = new MemoryMachine();
  readonly #drawSalt: () => number;
  files: GroupFiles<MemoryMachine> | null = null;
  snapshots: SnapshotFiles | null = null;
  node: Node | null = null;
  died: unknown = null;
  /** What is wrong with the state machine's file. */
  stateDamage: string | null = null;

  constructor(drawSalt: () => number) {
    this.#drawSalt = drawSalt;
    this.disk.makeDirectory(directory);
    createGroup({ disk: this.disk, directory, group: 0, drawSalt });
  }

  get log(): RaftLog {
    return must(this.files, "the node runs").log;
  }

  open(formed: Configuration): { files: GroupFiles<MemoryMachine>; snapshots: SnapshotFiles } {
    const { disk, machine } = this;
    const drawSalt = this.#drawSalt;
    const openMachine = (path: string): OpenedMachine<MemoryMachine> => {
      if (this.stateDamage === null) return { ok: true, store: machine };
      return { ok: false, damage: { path, detail: this.stateDamage } };
    };
    const opened = openGroup({
      ...{ disk, directory, group: 0, drawSalt, logSizes, openMachine },
      setMachineAside: () => {
        machine.wipe();
        this.stateDamage = null;
      },
      hasPeers: formed.members.length > 1,
    });
    if (!opened.ok) throw new Error(`${opened.damage.path}: ${opened.damage.detail}`);
    const { files } = opened;
    const options = { disk, directory, group: 0, clusterId: "c", machine, log: files.log, formed };
    const snapshots = new SnapshotFiles({ ...options, drawId: drawSalt });
    this.files = files;
    this.snapshots = snapshots;
    return { files, snapshots };
  }
}

export class SimulatedNodes {
  readonly time = new VirtualTime();
  readonly ids: readonly NodeId[];
  /**
   * What a test may do to a message: refuse to send it, let it pass, deliver it twice, or lose it on
   * its way, so that the sender does not know.
   */
  onMessage: (from: NodeId, to: NodeId, message: PeerMessage) => 0 | 1 | 2 | "lost" = () => 1;
  readonly warnings: string[] = [];
  readonly #hosts = new Map<NodeId, Host>();
  readonly #limits: Limits;
  #seed: number;

  constructor(options: { count: number; seed?: number; limits?: Partial<Limits> }) {
    this.#seed = options.seed ?? 1;
    this.#limits = { ...defaultLimits, diskReserveBytes: 0, ...options.limits };
    this.ids = Array.from({ length: options.count }, (_, i) => nodeId(i + 1));
    for (const id of this.ids) {
      this.#hosts.set(id, new Host(() => Math.floor(this.#fraction() * 2 ** 32)));
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
    const formed = configuration(members);
    const { files, snapshots } = host.open(formed);
    host.node = new Node({
      self: id,
      formed,
      limits: this.#limits,
      clock: this.time.clock(),
      random: this.#random(),
      network: this.#network(id),
      log: files.log,
      hardState: files.hardState,
      machine: files.machine,
      mending: files.note,
      snapshots,
      space: new ReservedSpace(host.disk, directory),
      fatal: (error) => {
        host.died = error;
        this.crash(id);
      },
      leadershipChanged: () => {},
      warn: (text) => this.warnings.push(text),
    });
    host.node.start();
  }

  /** Power loss. */
  crash(id: NodeId): void {
    const host = this.host(id);
    host.node?.stop();
    host.node = null;
    host.disk.crash(() => this.#fraction());
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
        const fate = this.onMessage(from, to, message);
        const copies = fate === "lost" ? 0 : fate;
        for (let copy = 0; copy < copies; copy++) {
          this.time.at(this.time.nowMs + 1, () =>
            this.#hosts.get(to)?.node?.receive(from, message),
          );
        }
        return fate !== 0;
      },
      flush: () => {},
      isConnected: (peer) => this.host(peer).node !== null,
    };
  }

  /** Lehmer's generator: enough for election timeouts. */
  #fraction(): number {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647;
    return this.#seed / 2_147_483_647;
  }

  #random(): Random {
    return {
      fraction: () => this.#fraction(),
      bytes: (count) => new Uint8Array(count),
    };
  }
}
