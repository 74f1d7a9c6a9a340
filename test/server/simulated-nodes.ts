/** A cluster of real nodes over simulated time, network and storage, for tests of the loop. */

import { defaultLimits, type Limits } from "../../server/limits.ts";
import { Node } from "../../server/node.ts";
import type { WriteAnswer } from "../../server/pending-writes.ts";
import type { Clock, Network, Random, Timer } from "../../server/ports.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { must } from "../../server/raft/assert.ts";
import { configuration, type Member } from "../../server/raft/configuration.ts";
import { nodeId, type NodeId } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { SimulatedHost, type LogSizes } from "./simulated-host.ts";

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

/** How often an empty directory asks to be let in. */
const knockEveryMs = 100;

const memberNamed = (id: NodeId, incarnation: string): Member => ({
  id,
  role: "voter",
  raft: `raft-${id}:1`,
  http: `http-${id}:1`,
  incarnation,
});

export class SimulatedNodes {
  readonly time = new VirtualTime();
  /** Of all machines, members or not. */
  readonly ids: NodeId[];
  /**
   * What a test may do to a message: refuse to send it, let it pass, deliver it twice, or lose it on
   * its way, so that the sender does not know.
   */
  onMessage: (from: NodeId, to: NodeId, message: PeerMessage) => 0 | 1 | 2 | "lost" = () => 1;
  readonly warnings: string[] = [];
  readonly #hosts = new Map<NodeId, SimulatedHost>();
  readonly #members: readonly Member[];
  readonly #limits: Limits;
  readonly #logSizes: LogSizes | undefined;
  #seed: number;

  /** `logSizes`: small ones where nothing else is given, so that segments come and go. */
  constructor(options: {
    count: number;
    seed?: number;
    limits?: Partial<Limits>;
    logSizes?: LogSizes;
  }) {
    this.#seed = options.seed ?? 1;
    this.#limits = { ...defaultLimits, diskReserveBytes: 0, ...options.limits };
    this.#logSizes = options.logSizes;
    this.ids = Array.from({ length: options.count }, (_, i) => nodeId(i + 1));
    this.#members = this.ids.map((id) => memberNamed(id, String(id)));
    for (const { id, incarnation } of this.#members) {
      const host = this.#newHost(id, incarnation);
      host.form({ clusterId: "c", members: this.#members });
      this.start(id);
    }
    this.time.clock().every(knockEveryMs, () => this.#knockAll());
  }

  host(id: NodeId): SimulatedHost {
    return must(this.#hosts.get(id), "there is such a node");
  }

  node(id: NodeId): Node {
    return must(this.host(id).node, `node ${id} runs`);
  }

  start(id: NodeId): void {
    const host = this.host(id);
    const { files, snapshots, formed } = host.open();
    host.node = new Node({
      self: id,
      incarnation: host.incarnation,
      formed: configuration(formed.members),
      limits: this.#limits,
      clock: this.time.clock(),
      random: this.#random(),
      network: this.#network(id),
      log: files.log,
      hardState: files.hardState,
      machine: files.machine,
      mending: files.note,
      snapshots,
      space: host.space,
      fatal: (error) => {
        host.died = error;
        this.crash(id);
      },
      leadershipChanged: () => {},
      configurationChanged: (now) => {
        files.members.save(now.committed);
        host.roster?.update(now);
      },
      warn: (text) => this.warnings.push(text),
    });
    host.meet(host.node.configurations);
    host.node.start();
  }

  /** A machine nobody knows yet. */
  add(id: NodeId): void {
    this.ids.push(id);
    this.#newHost(id, `${id}`);
  }

  /** The directory is deleted, and the process starts again with an empty one. */
  wipe(id: NodeId): void {
    const { incarnation } = this.host(id);
    this.crash(id);
    this.#newHost(id, `${incarnation}'`);
  }

  #newHost(id: NodeId, incarnation: string): SimulatedHost {
    const drawSalt = (): number => Math.floor(this.#fraction() * 2 ** 32);
    const plan = [...this.ids].map((other) => memberNamed(other, ""));
    const host = new SimulatedHost({ id, incarnation, plan, drawSalt, logSizes: this.#logSizes });
    this.#hosts.set(id, host);
    return host;
  }

  /** Empty directories introduce themselves to those that have a cluster. */
  #knockAll(): void {
    const formed = [...this.#hosts.values()].filter(({ node }) => node !== null);
    for (const host of this.#hosts.values()) {
      if (host.isFormed) continue;
      for (const other of formed) {
        if (host.knockAt(other)) {
          this.start(host.id);
          break;
        }
      }
    }
  }

  #isConnected(from: NodeId, to: NodeId): boolean {
    const [a, b] = [this.host(from), this.#hosts.get(to)];
    return b !== undefined && a.node !== null && b.node !== null && a.admits(b) && b.admits(a);
  }

  /** As if `from` had sent it. */
  deliver(to: NodeId, from: NodeId, message: PeerMessage): void {
    this.host(to).node?.receive(from, message, this.host(from).incarnation);
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
    const { incarnation } = this.host(from);
    return {
      send: (to, message) => {
        if (this.#hosts.get(to)?.node && !this.#isConnected(from, to)) return false;
        const fate = this.onMessage(from, to, message);
        const copies = fate === "lost" ? 0 : fate;
        const expected = this.#hosts.get(to)?.incarnation;
        for (let copy = 0; copy < copies; copy++) {
          this.time.at(this.time.nowMs + 1, () => {
            const host = this.#hosts.get(to);
            if (host?.incarnation === expected) host?.node?.receive(from, message, incarnation);
          });
        }
        return fate !== 0;
      },
      flush: () => {},
      isConnected: (peer) => this.#isConnected(from, peer),
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
