/** What the simulation does to its cluster, and how it is taken back. */

import type { NodeId } from "../../server/raft/entry.ts";
import { must } from "../../server/raft/assert.ts";
import type { Interference, DiskOperation } from "./disk.ts";
import type { SimNetwork } from "./network.ts";
import type { FaultKind } from "./options.ts";
import type { SimProcess } from "./process.ts";
import type { SimWorld } from "./world.ts";

/** What hangs over one node's disk. */
interface DiskTrouble {
  /** The process ends in this many operations; 0: no such plan. */
  crashIn: number;
  /** Then only these are counted. */
  crashAt: DiskOperation | "any";
  /** The next operation of this kind fails. */
  failNext: "write" | "sync" | "syncDirectory" | "rename" | null;
  syncMs: number;
  /** What a process does in one go may take longer than its disk is slow. */
  slowUntilMs: number;
  misdirectNext: boolean;
  /** A bit changes in the write to a snapshot after so many; 0: in none. */
  rotSnapshotIn: number;
  /** The process ends now and then when a name has come, gone or changed: the rarer such names, the more. */
  crashesAtNames: boolean;
  /** How often a name of each kind has come, gone or changed. */
  readonly nameChanges: Map<string, number>;
  /**
   * Files with a write that went to another place. Until a start puts right what it can, a second
   * fault in the same file could take the other copy, or the only trace: more than any file can bear.
   */
  readonly atRisk: Set<string>;
}

const noTrouble = (): DiskTrouble => ({
  crashIn: 0,
  crashAt: "any",
  failNext: null,
  syncMs: 0,
  slowUntilMs: 0,
  misdirectNext: false,
  rotSnapshotIn: 0,
  crashesAtNames: false,
  nameChanges: new Map(),
  atRisk: new Set(),
});

export interface FaultOptions extends SimWorld {
  readonly network: SimNetwork;
  /** Whether the cluster could go on without what this process has. */
  readonly mayLose: (process: SimProcess) => boolean;
  /** The same, and it is no learner that may become a voter with damaged files. */
  readonly mayDamage: (process: SimProcess) => boolean;
  /** Not one that is to stay down. */
  readonly mayStart: (process: SimProcess) => boolean;
  /** Tells both ends that their connection broke. */
  readonly disconnected: (a: SimProcess, b: SimProcess) => void;
}

/** How likely a crash follows the first change of a name of its kind; the tenth has a tenth of it. */
const nameCrashRate = 0.4;

export class Faults {
  readonly #world: FaultOptions;
  readonly #trouble = new Map<NodeId, DiskTrouble>();
  /** The only ones whose disks may be damaged for good: a minority. */
  readonly #victims: readonly SimProcess[];
  readonly counts = new Map<FaultKind, number>();
  #isOver = false;

  constructor(world: FaultOptions) {
    this.#world = world;
    const { processes, random, options } = world;
    for (const { id } of processes) {
      this.#trouble.set(id, noTrouble());
    }
    const { nodeCount } = options;
    const minority = Math.floor((nodeCount - 1) / 2);
    const first = random.below(nodeCount);
    this.#victims = Array.from({ length: minority }, (_, i) =>
      must(processes[(first + i) % nodeCount], "it wraps around"),
    );
  }

  start(): void {
    if (this.#world.options.faults.size > 0) this.#next();
  }

  /** The world is whole again, but for what cannot be mended. */
  heal(): void {
    this.#isOver = true;
    this.#world.network.heal();
    for (const process of this.#world.processes) {
      process.clock.rate = 1;
      process.resume();
      process.disk.capacityBytes = Infinity;
      process.machineFile.isFull = false;
      process.disk.writeBytesMax = Infinity;
      this.#trouble.set(process.id, noTrouble());
    }
  }

  /** Its files were opened: what could be put right about them is. */
  started(process: SimProcess): void {
    must(this.#trouble.get(process.id), "every disk is known").atRisk.clear();
  }

  /** A process ended: somebody starts it again after a while. */
  died(process: SimProcess): void {
    const { time, random, options } = this.#world;
    const afterMs = options.limits.electionTimeoutMs * 4 * random.float() ** 2;
    time.at(time.nowMs + afterMs, () => {
      if (process.life === null && this.#world.mayStart(process)) process.start();
    });
  }

  /** What happens to a disk operation. */
  interfere(process: SimProcess, operation: DiskOperation, path: string): Interference {
    const trouble = must(this.#trouble.get(process.id), "every disk is known");
    const { random } = this.#world;
    const counts = trouble.crashAt === "any" || trouble.crashAt === operation;
    if (trouble.crashIn > 0 && counts) {
      trouble.crashIn--;
      if (trouble.crashIn === 0) return { kind: "crash" };
    }
    if (trouble.failNext === operation) {
      trouble.failNext = null;
      return { kind: "error", code: "EIO" };
    }
    if (operation === "sync") {
      const takesMs = trouble.syncMs * (0.5 + random.float());
      if (process.nowMs < trouble.slowUntilMs) process.stall(takesMs);
    }
    if (trouble.crashesAtNames) this.#considerName(process, operation, path);
    if (operation === "write" && trouble.rotSnapshotIn > 0 && path.includes("/snapshots/")) {
      trouble.rotSnapshotIn--;
      if (trouble.rotSnapshotIn === 0) return { kind: "flip", bit: random.below(2 ** 20) };
    }
    if (operation === "write" && trouble.misdirectNext && !trouble.atRisk.has(path)) {
      if (!this.#world.mayDamage(process)) return { kind: "none" };
      trouble.misdirectNext = false;
      trouble.atRisk.add(path);
      process.damaged();
      return { kind: "misdirect", offset: 512 * random.below(8) };
    }
    return { kind: "none" };
  }

  /** A power loss soon after the change of a name: some was made durable, and some was not. */
  #considerName(process: SimProcess, operation: DiskOperation, path: string): void {
    const { random } = this.#world;
    const isName = operation === "create" || operation === "rename" || operation === "remove";
    if (!isName) return;
    const trouble = must(this.#trouble.get(process.id), "every disk is known");
    const kind = `${operation} ${path.replace(/\d+/g, "0")}`;
    const count = (trouble.nameChanges.get(kind) ?? 0) + 1;
    trouble.nameChanges.set(kind, count);
    if (random.float() * count >= nameCrashRate) return;
    trouble.crashIn = 1 + random.below(random.pick([4, 12]));
    trouble.crashAt = "any";
    process.crashLosesPower = true;
  }

  #next(): void {
    const { time, random, options } = this.#world;
    const afterMs = -Math.log(1 - random.float()) * options.faultEveryMs;
    time.at(time.nowMs + afterMs, () => {
      if (this.#isOver) return;
      this.#strike(random.pick([...options.faults]));
      this.#next();
    });
  }

  #later(ms: number, heal: () => void): void {
    const { time } = this.#world;
    time.at(time.nowMs + ms, () => {
      if (!this.#isOver) heal();
    });
  }

  #strike(kind: FaultKind): void {
    const { random, processes, trace, time, options } = this.#world;
    const process = this.#target();
    const lastsMs = options.limits.electionTimeoutMs * random.pick([0.2, 1, 3, 8]) * random.float();
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    trace.note(time.nowMs, `fault: ${kind}`, process.id, Math.round(lastsMs));
    switch (kind) {
      case "kill":
      case "powerLoss":
        if (process.life) process.kill(kind === "powerLoss");
        break;
      case "powerLossOfAll":
        for (const each of processes) if (each.life) each.kill(true);
        break;
      case "shutDown":
        for (const each of random.float() < 0.3 ? processes : [process]) each.end();
        break;
      case "pause":
        process.pause(lastsMs);
        break;
      case "handOver":
        if (process.life) process.enter(process.life, () => process.life?.node.handOver());
        break;
      case "clockDrift":
        process.clock.rate = random.pick([0.5, 0.9, 1, 1.1, 2]);
        break;
      case "wallClockJumps":
        process.clock.wallOffsetMs += random.pick([-7_200_000, -1_000, 1_000, 3_600_000]);
        break;
      case "partition":
      case "oneWayPartition":
      case "chainPartition":
      case "lossyNetwork":
      case "duplicates":
      case "reordering":
      case "slowLinks":
      case "resets":
      case "otherAppends":
        this.#strikeNetwork(kind, process, lastsMs);
        break;
      case "isolatedLeaders":
        this.#isolateLeader(random.pick([1, 2, 4]));
        break;
      case "lateAnswers":
        this.#delayAnswers();
        break;
      default:
        this.#strikeDisk(kind, process, lastsMs);
    }
  }

  get #leader(): SimProcess | undefined {
    return this.#world.processes.find(({ life }) => life?.node.leadership.role === "leader");
  }

  /** Cut off from the others, but not from its clients, until they have another one; then that one. */
  #isolateLeader(times: number): void {
    const { network, random, options, processes } = this.#world;
    const leader = this.#leader;
    const timeoutMs = options.limits.electionTimeoutMs;
    const lastsMs = leader ? timeoutMs * (0.5 + 2.5 * random.float()) : 0;
    const setCut = (isCut: boolean): void => {
      for (const other of processes) {
        if (!leader || other === leader) continue;
        network.link(leader.id, other.id).isCut = isCut;
        network.link(other.id, leader.id).isCut = isCut;
      }
    };
    setCut(true);
    this.#later(lastsMs, () => setCut(false));
    if (times === 1) return;
    this.#later(lastsMs + timeoutMs * random.float(), () => this.#isolateLeader(times - 1));
  }

  /** What the leader hears is ever older, until the others do not hear it any more and elect anew. */
  #delayAnswers(): void {
    const { network, random, options, processes, time } = this.#world;
    const leader = this.#leader;
    if (!leader) return;
    const timeoutMs = options.limits.electionTimeoutMs;
    const heardMs = timeoutMs * (0.3 + random.float());
    const lag = { sinceMs: time.nowMs, factor: 1 + 3 * random.float() };
    const cutMs = heardMs + timeoutMs * (1 + 3 * random.float());
    for (const other of processes) {
      if (other === leader) continue;
      const answers = network.link(other.id, leader.id);
      const heartbeats = network.link(leader.id, other.id);
      answers.lag = lag;
      this.#later(heardMs, () => {
        heartbeats.isCut = true;
      });
      this.#later(cutMs, () => {
        answers.lag = null;
        heartbeats.isCut = false;
      });
    }
  }

  /** Often the leader: what happens to it says most. */
  #target(): SimProcess {
    const { random, processes } = this.#world;
    const anyone = random.pick(processes);
    const isLeader = ({ life }: SimProcess): boolean => life?.node.leadership.role === "leader";
    return random.float() < 0.4 ? (processes.find(isLeader) ?? anyone) : anyone;
  }

  #strikeNetwork(kind: FaultKind, process: SimProcess, lastsMs: number): void {
    const { network, random, processes } = this.#world;
    const others = processes.filter((other) => other !== process);
    const setCut = (a: SimProcess, b: SimProcess, isCut: boolean): void => {
      network.link(a.id, b.id).isCut = isCut;
    };
    switch (kind) {
      case "partition": {
        const isAlone = random.float() < 0.5;
        const side = isAlone ? [process] : processes.filter(() => random.float() < 0.5);
        for (const a of processes) {
          for (const b of processes) {
            if (a !== b && side.includes(a) !== side.includes(b)) {
              setCut(a, b, true);
              this.#later(lastsMs, () => setCut(a, b, false));
            }
          }
        }
        break;
      }
      case "oneWayPartition": {
        const isDeaf = random.float() < 0.5;
        for (const other of others) {
          const [a, b] = isDeaf ? [other, process] : [process, other];
          setCut(a, b, true);
          this.#later(lastsMs, () => setCut(a, b, false));
        }
        break;
      }
      case "chainPartition":
        // Only neighbours hear each other.
        for (const [i, a] of processes.entries()) {
          for (const [k, b] of processes.entries()) {
            if (Math.abs(i - k) < 2) continue;
            setCut(a, b, true);
            this.#later(lastsMs, () => setCut(a, b, false));
          }
        }
        break;
      case "slowLinks":
        for (const other of others) {
          const link = network.link(process.id, other.id);
          link.slowness = random.pick([10, 100]);
          this.#later(lastsMs, () => {
            link.slowness = 1;
          });
        }
        break;
      case "resets":
        for (const other of others) {
          if (random.float() < 0.3) continue;
          network.reset(process.id, other.id, lastsMs / 10);
          this.#world.disconnected(process, other);
        }
        break;
      case "lossyNetwork":
        network.dropRate = random.pick([0.01, 0.2]);
        this.#later(lastsMs, () => {
          network.dropRate = 0;
        });
        break;
      case "duplicates":
        network.duplicateRate = random.pick([0.05, 0.5]);
        this.#later(lastsMs, () => {
          network.duplicateRate = 0;
        });
        break;
      case "otherAppends":
        // Until the next one: it matters only where another fault has made the logs differ.
        network.otherAppendRate = random.pick([0.01, 0.05, 0.5]);
        break;
      default:
        network.reorderRate = random.pick([0.05, 0.5]);
        this.#later(lastsMs, () => {
          network.reorderRate = 0;
        });
    }
  }

  #strikeDisk(kind: FaultKind, process: SimProcess, lastsMs: number): void {
    const { random, options, time } = this.#world;
    const trouble = must(this.#trouble.get(process.id), "every disk is known");
    const one = this.#victims.length > 0 ? random.pick(this.#victims) : null;
    const victim = one && this.#world.mayDamage(one) ? one : null;
    switch (kind) {
      case "crashInDiskOperation":
        trouble.crashIn = 1 + random.below(random.pick([2, 12]));
        // Mostly where the most is at stake.
        trouble.crashAt = random.pick(["sync", "sync", "truncate", "remove", "any"] as const);
        process.crashLosesPower = random.float() < 0.7;
        break;
      case "diskErrors":
        trouble.failNext = random.pick([
          "write",
          "sync",
          "sync",
          "syncDirectory",
          "rename",
        ] as const);
        break;
      case "fullDisk":
        process.disk.capacityBytes = process.disk.usedBytes + random.below(2_000);
        process.machineFile.isFull = random.float() < 0.5;
        this.#later(lastsMs, () => {
          process.disk.capacityBytes = Infinity;
          process.machineFile.isFull = false;
        });
        break;
      case "shortWrites":
        process.disk.writeBytesMax = 1 + random.below(700);
        this.#later(lastsMs, () => {
          process.disk.writeBytesMax = Infinity;
        });
        break;
      case "slowSyncs":
      case "hangingSyncs":
        trouble.syncMs =
          kind === "slowSyncs" ? options.latencyMs * 10 : options.limits.electionTimeoutMs * 3;
        trouble.slowUntilMs = time.nowMs + lastsMs;
        this.#later(lastsMs, () => {
          trouble.syncMs = 0;
        });
        break;
      case "bitRot":
        if (victim) this.#rot(victim);
        break;
      case "misdirectedWrites":
        if (victim) must(this.#trouble.get(victim.id), "it is known").misdirectNext = true;
        break;
      case "snapshotRot":
        // Any node's: a snapshot is a copy, and where it is bad another one is made.
        for (const each of this.#trouble.values()) each.rotSnapshotIn = 1 + random.below(8);
        break;
      case "crashesAtNames":
        for (const each of this.#trouble.values()) each.crashesAtNames = true;
        this.#later(options.limits.electionTimeoutMs * 10 * random.float(), () => {
          for (const each of this.#trouble.values()) each.crashesAtNames = false;
        });
        break;
      case "stateDamage":
        if (!victim) break;
        victim.damaged();
        victim.machineFile.isDamaged = true;
        if (victim.life) victim.kill(false);
        break;
      default:
        this.#wipe();
    }
  }

  /** Whosever directory it is: as long as enough of the others have theirs. */
  #wipe(): void {
    const { random, processes, mayLose, network, options } = this.#world;
    const chosen = processes.filter((process) => mayLose(process));
    if (chosen.length === 0) return;
    const process = random.pick(chosen);
    // Of what the old directory said, the network still carries something.
    network.sayAgain(process.id, options.limits.electionTimeoutMs * random.pick([1, 4, 10]));
    process.wipe();
    this.died(process);
  }

  #rot(victim: SimProcess): void {
    const { random } = this.#world;
    const { atRisk } = must(this.#trouble.get(victim.id), "every disk is known");
    const files = victim.disk.files.filter(
      (name) => victim.disk.sizeOf(name) > 0 && !atRisk.has(name),
    );
    if (files.length === 0) return;
    victim.damaged();
    for (let flips = 1 + random.below(3); flips > 0; flips--) {
      const isAtEnd = random.float() < 0.4;
      const file = isAtEnd ? (files.findLast((name) => name.endsWith(".log")) ?? "") : "";
      if (file === "") {
        const other = random.pick(files);
        victim.disk.rot(other, random.below(victim.disk.sizeOf(other)), random.below(8));
      } else {
        // Where the newest records are, of which no later one vouches.
        const offset = victim.disk.writtenBytes(file) - 1 - random.below(100);
        victim.disk.rot(file, Math.max(0, offset), random.below(8));
      }
    }
    if (random.float() < 0.7 && victim.life) victim.kill(false);
  }
}
