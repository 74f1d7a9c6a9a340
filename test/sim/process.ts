/**
 * One machine of the simulation: its disk, its clock, and the process that runs on it now and then.
 * The process is the real node over the real files' code; only the ports are the simulation's.
 */

import { Formation, type Formed } from "../../server/formation.ts";
import type { PeerIdentity } from "../../server/handshake.ts";
import { Node } from "../../server/node.ts";
import type { MendingNote } from "../../storage/mending-note.ts";
import type { Clock, LogStore, MendingStore, Network } from "../../server/ports.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import {
  configuration,
  hasOtherVoter,
  voters,
  type Configuration,
} from "../../server/raft/configuration.ts";
import { index, type NodeId } from "../../server/raft/entry.ts";
import { Roster } from "../../server/roster.ts";
import { DiskError } from "../../storage/disk.ts";
import {
  createGroup,
  openGroup,
  type GroupFiles,
  type GroupOptions,
  type Suspect,
} from "../../storage/group-files.ts";
import { SnapshotFiles } from "../../storage/snapshot-files.ts";
import { readIdentity, writeIdentity, type Identity } from "../../storage/identity.ts";
import { LogDamaged } from "../../storage/log-damage.ts";
import { ReservedSpace } from "../../storage/reserved-space.ts";
import { Random } from "../raft/random.ts";
import type { CommittedChanges } from "./changes.ts";
import type { Checks, Observed } from "./checks.ts";
import { SimClock } from "./clock.ts";
import { incarnationOf, memberNamed } from "./directories.ts";
import { emptyShadow, type Shadow } from "./shadow.ts";
import { Contact } from "./contact.ts";
import { SimDisk, SimulatedCrash, type DiskOperation, type Interference } from "./disk.ts";
import { MachineFile, SimMachine } from "./machine.ts";
import type { SimOptions } from "./options.ts";
import { tickingClock } from "./ticking.ts";
import type { SimTime } from "./time.ts";
import { claim, type Coverage, type Trace } from "./trace.ts";
import { groupDirectory, WatchedHardState, WatchedLog } from "./watched.ts";
import { Watching } from "./watching.ts";

export interface Surroundings {
  readonly options: SimOptions;
  readonly time: SimTime;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly checks: Checks;
  /** Null where nobody watches. */
  readonly changes: CommittedChanges | null;
  /** As the cluster was formed. */
  readonly formed: Configuration;
  readonly clusterId: string;
  readonly send: (from: SimProcess, to: NodeId, message: PeerMessage) => boolean;
  readonly isConnected: (from: NodeId, to: NodeId) => boolean;
  /** Who this process is, or whom it lets in, has changed. */
  readonly metOthers: () => void;
  /** Whether any node's files were damaged: then it may have lost what it acknowledged. */
  readonly isAnythingDamaged: () => boolean;
  readonly interfere: (process: SimProcess, operation: DiskOperation, path: string) => Interference;
  readonly started: (process: SimProcess) => void;
  /** `life` is null where it died while it started. */
  readonly died: (process: SimProcess, life: Life | null) => void;
}

/** From a start to the next end. */
export interface Life {
  readonly node: Node;
  readonly number: number;
  readonly log: LogStore;
  readonly contact: Contact;
  readonly roster: Roster;
  /** Null where nobody watches. */
  readonly watching: Watching | null;
}

const directory = "node";

export class SimProcess {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly machineFile = new MachineFile();
  shadow: Shadow;
  /** An empty directory waits until somebody takes it in; null: it is part of the cluster, or down. */
  newcomer: { readonly identity: PeerIdentity; readonly formation: Formation } | null = null;
  readonly #world: Surroundings;
  readonly #random: Random;
  life: Life | null = null;
  /** Why it does not start any more; null: it does. */
  refusal: string | null = null;
  #wasDamaged = false;
  /** A directory before this one was damaged and had not healed. */
  hadDamage = false;
  /** The next end takes what was not synced along. */
  crashLosesPower = false;
  #suspect: Suspect | null = null;
  #lives = 0;
  #directories = 0;
  #blockedUntilMs = 0;
  #backlog: (() => void)[] = [];
  /** When the backlog is looked at next; 0: nobody will. */
  #wakeMs = 0;
  /** How long the running event has kept the process busy so far. */
  #stallMs = 0;
  readonly clock: SimClock;

  constructor(id: NodeId, world: Surroundings, seed: number) {
    this.id = id;
    this.#world = world;
    this.#random = new Random(seed);
    this.clock = new SimClock({ time: world.time, nowMs: () => this.nowMs });
    this.disk = new SimDisk(this.#random);
    this.shadow = emptyShadow(this.#nextIncarnation());
  }

  /** Its files were damaged, or are about to be: then finding damage is what it should do. */
  damaged(): void {
    this.#wasDamaged = true;
  }

  /** Until the last of it is gone, and what it took along is there again. */
  get isDamaged(): boolean {
    if (!this.#wasDamaged) return false;
    const isMending = this.life === null || this.life.node.mending !== null;
    const isDone = !isMending && !this.disk.isDamaged && !this.machineFile.isDamaged;
    if (!isDone || this.#world.checks.hasLost(this.id)) return true;
    this.#wasDamaged = false;
    this.#world.coverage.add("nothing is left of a damage");
    return false;
  }

  /** Makes the files of a member of the cluster that has just formed. */
  format(): void {
    const { clusterId, formed } = this.#world;
    this.disk.makeDirectory(directory);
    this.#saveFormation({ clusterId, members: formed.members });
  }

  /** The group's files come first and the identity last, as in a real directory. */
  #saveFormation({ clusterId, members }: Formed): Identity {
    if (this.disk.exists(groupDirectory)) this.disk.remove(groupDirectory);
    this.disk.makeDirectory(groupDirectory);
    createGroup(this.#groupOptions());
    this.disk.syncDirectory(directory);
    const { incarnation } = this.shadow;
    const identity = { nodeId: this.id, incarnation, clusterId, members };
    writeIdentity(this.disk, directory, identity);
    return identity;
  }

  #nextIncarnation(): string {
    this.#directories++;
    return incarnationOf(this.id, this.#directories);
  }

  // ------------------------------------------------------------------ starting and ending

  start(): void {
    claim(this.life === null, () => `node ${this.id} is started twice`);
    if (this.refusal !== null) return;
    this.disk.interfere = (operation, path) => this.#world.interfere(this, operation, path);
    try {
      const identity = this.#readIdentity();
      if (identity && identity.clusterId !== null) this.#open(identity);
      else if (identity) this.#wait();
    } catch (error) {
      this.#ended(error);
    }
  }

  /** Somebody has vouched for the cluster that counts this directory in. */
  form(formed: Formed): void {
    claim(
      formed.clusterId === this.#world.clusterId,
      () => `node ${this.id} forms another cluster, ${formed.clusterId}`,
    );
    this.newcomer = null;
    try {
      this.#open(this.#saveFormation(formed));
    } catch (error) {
      this.#ended(error);
    }
  }

  /** Who this node says it is; null where it does not run. */
  get identity(): PeerIdentity | null {
    return this.life?.roster.identity ?? this.newcomer?.identity ?? null;
  }

  /** It has learned that its directory was removed from the cluster. */
  leave(): void {
    this.kill(false);
    this.newcomer = null;
    this.#refuse("retired");
  }

  /** kill -9, or with `losesPower` the machine too. */
  kill(losesPower: boolean): void {
    this.crashLosesPower ||= losesPower;
    this.#ended(new SimulatedCrash("killed"));
  }

  /** As SIGTERM ends it, though it hands nothing over: what watchers may come back for is saved. */
  end(): void {
    const { life } = this;
    if (!life) return;
    this.enter(life, () => {
      try {
        life.watching?.close();
        life.node.stop();
        life.watching?.save();
        life.node.machine.sync();
        this.#world.coverage.add("ended in order");
        this.#ended(new SimulatedCrash("in order"));
      } catch (error) {
        this.#ended(error);
      }
    });
  }

  /** The directory is gone; the next start makes another one. */
  wipe(): void {
    this.hadDamage ||= this.isDamaged;
    this.#wasDamaged = false;
    if (this.life) this.kill(false);
    this.newcomer = null;
    this.refusal = null;
    this.disk.wipe();
    this.disk.capacityBytes = Infinity;
    this.machineFile.wipe();
    this.#suspect = null;
    this.shadow = emptyShadow(this.#nextIncarnation());
    this.#world.checks.opened(this.shadow);
  }

  /** The process stands still, its connections stay. */
  pause(ms: number): void {
    this.#blockedUntilMs = Math.max(this.#blockedUntilMs, this.#world.time.nowMs + ms);
  }

  /** Whatever it stood still for is over. */
  resume(): void {
    this.#blockedUntilMs = this.#world.time.nowMs;
    if (this.life && this.#backlog.length > 0) this.#wakeLater(this.life);
  }

  /** Null where it cannot be read. */
  #readIdentity(): Identity | null {
    const found = readIdentity(this.disk, directory);
    switch (found.kind) {
      case "found":
        return found.identity;
      case "damaged":
        claim(this.isDamaged, () => `node ${this.id} finds its identity damaged`);
        this.#refuse("identity");
        return null;
      case "none": {
        const { incarnation } = this.shadow;
        const identity = { nodeId: this.id, incarnation, clusterId: null, members: [] };
        this.disk.makeDirectory(directory);
        writeIdentity(this.disk, directory, identity);
        return identity;
      }
    }
  }

  /** As one whose start was given the members that the cluster was formed with, and itself. */
  #wait(): void {
    if (this.newcomer) return;
    const { formed, coverage, trace, time } = this.#world;
    const { incarnation } = this.shadow;
    const others = formed.members.filter(({ id }) => id !== this.id);
    const members = [...others, memberNamed(this.id, "")].map((member) => ({
      ...member,
      incarnation: null,
    }));
    const identity = { nodeId: this.id, incarnation, clusterId: null, members, revision: 0 };
    const formation = new Formation({ self: this.id, incarnation, plan: members });
    this.newcomer = { identity, formation };
    coverage.add("an empty directory waits to be taken in");
    trace.note(time.nowMs, "waits with an empty directory", this.id, incarnation);
    this.#world.metOthers();
  }

  #refuse(reason: string): void {
    this.refusal = reason;
    this.#world.coverage.add(`refused to start: ${reason}`);
    this.#world.trace.note(this.#world.time.nowMs, "refuses to start:", this.id, reason);
  }

  #open(identity: Identity): void {
    const { checks, coverage, trace, time } = this.#world;
    const opened = openGroup({
      ...this.#groupOptions(),
      openMachine: (path) => {
        if (this.machineFile.isDamaged)
          return { ok: false, damage: { path, detail: "a page is damaged" } };
        const onApplied = (point: Parameters<Checks["applied"]>[1]): void =>
          checks.applied(this.id, point);
        const { formed, changes } = this.#world;
        const options = { formed, onApplied, changes };
        return { ok: true, store: new SimMachine(this.machineFile, options) };
      },
      setMachineAside: () => this.machineFile.wipe(),
      hasPeers: (newest) => hasOtherVoter(newest ?? configuration(identity.members), this.id),
      ...(this.#suspect && { suspect: this.#suspect }),
    });
    this.#suspect = null;
    if (!opened.ok) {
      const { path, detail } = opened.damage;
      claim(
        this.isDamaged,
        () => `node ${this.id} finds damage that nobody did: ${path} ${detail}`,
      );
      const file = path.endsWith(".log") ? "the log" : path;
      this.#refuse(`${file}: ${detail.replace(/^at byte \d+, /, "")}`);
      return;
    }
    const { log, hardState, machine, note, verdict } = opened.files;
    if (verdict.includes("unfinished write")) coverage.add("a torn tail was dropped");
    const entries =
      log.lastIndex < log.firstIndex ? [] : log.entries(log.firstIndex, log.lastIndex, Infinity);
    checks.restarted(this.id, {
      firstIndex: log.firstIndex,
      baseTerm: log.term(index(log.firstIndex - 1)) ?? 0,
      entries,
      hardState: hardState.current,
      appliedIndex: machine.applied.appliedIndex,
      isRecovering: note.current.log !== null,
    });
    if (verdict.includes("is being mended")) {
      claim(this.isDamaged, () => `node ${this.id} mends what nobody damaged: ${verdict}`);
      coverage.add(
        note.current.log === null ? "a damaged state is mended" : "a damaged log is mended",
      );
    }
    this.#world.started(this);
    trace.note(time.nowMs, "starts:", this.id, verdict);
    this.#lives++;
    this.#blockedUntilMs = time.nowMs;
    this.#backlog = [];
    const watched = { id: this.id, checks, coverage, disk: this.disk };
    const watchedLog = new WatchedLog({ ...watched, machine, log });
    const surroundings = { ...this.#world, ...watched, machine, clock: this.#clock() };
    const { changes } = this.#world;
    const hasLeader = (): boolean =>
      this.life !== null && this.life.node.leadership.leaderId !== null;
    // Before the node applies anything.
    const watching = changes && new Watching({ ...surroundings, changes, hasLeader });
    const node = this.#createNode({ ...opened.files, watchedLog, identity });
    watching?.formed(node);
    const { clusterId } = this.#world;
    const { incarnation } = identity;
    const { configurations } = node;
    const life: Life = {
      node,
      roster: new Roster({
        ...{ self: this.id, incarnation, clusterId, configurations },
        address: memberNamed(this.id, ""),
      }),
      number: this.#lives,
      log: watchedLog,
      contact: new Contact(this.id, this.#world.options.limits),
      watching,
    };
    this.life = life;
    this.#world.metOthers();
    this.enter(life, () => life.node.start());
  }

  #createNode({
    hardState,
    machine,
    note,
    watchedLog: log,
    members: memberNote,
    identity: { incarnation, members },
  }: GroupFiles<SimMachine> & { watchedLog: WatchedLog; identity: Identity }): Node {
    const { options, checks, coverage, clusterId } = this.#world;
    const formed = configuration(members);
    const snapshots = new SnapshotFiles({
      ...this.#groupOptions(),
      clusterId,
      drawId: () => this.#random.below(2 ** 48),
      machine,
      log,
      formed,
    });
    const isCurrent = this.#inThisLife;
    return new Node({
      self: this.id,
      incarnation,
      configurationChanged: (now) => {
        if (!isCurrent()) return;
        memberNote.save(now.committed);
        this.life?.roster.update(now);
        this.#world.metOthers();
      },
      formed,
      limits: options.limits,
      clock: this.#nodeClock(),
      random: { fraction: () => this.#random.float(), bytes: (count) => new Uint8Array(count) },
      network: this.#network(isCurrent),
      log,
      hardState: new WatchedHardState({ file: hardState, id: this.id, checks, disk: this.disk }),
      machine,
      mending: this.#watched(note),
      snapshots,
      space: new ReservedSpace(this.disk, directory),
      fatal: (error) => this.#ended(error),
      warn: (text) => {
        if (text.startsWith("the disk ")) coverage.add(text.replace(/ \(.*/, ""));
        if (!text.startsWith("refused a message")) return;
        coverage.add("a message was refused");
        claim(this.#world.isAnythingDamaged(), () => `node ${this.id}: ${text}`);
      },
      leadershipChanged: ({ role, term }) => {
        coverage.add(`became ${role}`);
        this.#world.trace.note(this.#world.time.nowMs, `${role} in term`, this.id, term);
      },
    });
  }

  #watched(note: MendingNote): MendingStore {
    const { checks, coverage } = this.#world;
    return {
      get current() {
        return note.current;
      },
      add: (part, detail) => note.add(part, detail),
      clear: () => {
        checks.recovered(this.id);
        note.clear();
        coverage.add("what was damaged is whole again");
      },
    };
  }

  /** The process is over. Only the simulation's own faults are reasons for that. */
  #ended(error: unknown): void {
    const { time, trace, coverage, checks } = this.#world;
    // Asked while it still lives: what has healed by now is no excuse any more.
    const { isDamaged, life } = this;
    const isFault = error instanceof SimulatedCrash || error instanceof DiskError;
    const isFoundDamage = isDamaged && error instanceof LogDamaged;
    if (!isFault && !isFoundDamage) throw error;
    // A start may need room, and is begun again at the next one. A node that runs lives on.
    claim(
      life === null || !(error instanceof DiskError && error.code === "ENOSPC"),
      () => `node ${this.id} ends because its disk is full: ${error.message}`,
    );
    const name = error instanceof DiskError ? error.code : error.name;
    coverage.add(`ended by ${name}`);
    // In the middle of an event only a leader's log is what it goes by.
    const seen = life && this.#observed(life);
    if (seen?.isLeader) checks.committed(seen);
    trace.note(time.nowMs, "ends:", this.id, error.message);
    this.life = null;
    this.newcomer = null;
    this.disk.kill();
    // What a running node finds, its next start looks into.
    if (isFoundDamage) this.#suspect = { part: "log", detail: error.message };
    if (this.crashLosesPower) {
      const keep = this.#random.pick([0, 0.1, 0.5, 0.9, this.#random.float()]);
      this.disk.losePower(keep);
      this.machineFile.losePower(this.#random, keep);
      this.crashLosesPower = false;
      coverage.add("lost power");
    }
    this.#world.died(this, life);
  }

  // ------------------------------------------------------------------ events

  /** Runs something in the process, now or when it is free, unless it has ended by then. */
  enter(life: Life, run: () => void): void {
    if (this.life !== life) return;
    const { time } = this.#world;
    if (time.nowMs < this.#blockedUntilMs || this.#backlog.length > 0) {
      this.#backlog.push(run);
      this.#wakeLater(life);
      return;
    }
    this.#runNow(life, run);
  }

  #runNow(life: Life, run: () => void): void {
    this.#stallMs = 0;
    run();
    this.#blockedUntilMs = this.#world.time.nowMs + this.#stallMs;
    this.#stallMs = 0;
    if (this.life === life) this.look();
  }

  /** Has what the node shows now checked. */
  look(): void {
    if (this.life) this.#world.checks.observed(this.#observed(this.life));
  }

  #observed({ node }: Life): Observed {
    const { term, role } = node.leadership;
    // What the core has taken in and a full disk has refused is nobody's to see.
    const commitIndex = Math.min(node.commitIndex, node.stableLogIndex);
    const { configuration: newest } = node;
    return {
      id: this.id,
      term,
      isLeader: role === "leader",
      commitIndex,
      durableIndex: this.machineFile.syncedIndex,
      configuration: newest,
      isWritten: node.disk.room === "ok" && newest.revision <= node.stableLogIndex,
    };
  }

  #wakeLater(life: Life): void {
    const { time } = this.#world;
    if (this.#wakeMs > time.nowMs && this.#wakeMs <= this.#blockedUntilMs) return;
    this.#wakeMs = this.#blockedUntilMs;
    time.at(this.#blockedUntilMs, () => {
      this.#wakeMs = 0;
      if (this.life === life) this.#workOff(life);
      else if (this.life && this.#backlog.length > 0) this.#wakeLater(this.life);
    });
  }

  #workOff(life: Life): void {
    const { time } = this.#world;
    while (this.life === life && this.#backlog.length > 0) {
      if (time.nowMs < this.#blockedUntilMs) {
        this.#wakeLater(life);
        return;
      }
      const run = this.#backlog.shift();
      if (run) this.#runNow(life, run);
    }
  }

  /** The running event takes so much longer: all that it still does happens later. */
  stall(ms: number): void {
    this.#stallMs += ms;
  }

  /** The moment at which what the process does now happens. */
  get nowMs(): number {
    return this.#world.time.nowMs + this.#stallMs;
  }

  // ------------------------------------------------------------------ ports

  /** Whether the life that is beginning now is going on. */
  get #inThisLife(): () => boolean {
    const number = this.#lives;
    return () => this.life?.number === number;
  }

  #clock(): Clock {
    const isCurrent = this.#inThisLife;
    return this.clock.port((run) => {
      if (isCurrent() && this.life) this.enter(this.life, run);
    });
  }

  #nodeClock(): Clock {
    const { coverage, options } = this.#world;
    const { tickMs } = options.limits;
    const ticked = (count: number): void => {
      // Null where the tick has ended it.
      const { life } = this;
      if (!life) return;
      const { leadership } = life.node;
      if (count > 1) coverage.add(`a ${leadership.role} rested`);
      life.contact.ticked(leadership, voters(life.node.configuration), count);
    };
    return tickingClock({ clock: this.#clock(), tickMs, ticked });
  }

  #network(isCurrent: () => boolean): Network {
    return {
      send: (to, message) => isCurrent() && this.#world.send(this, to, message),
      flush: () => {},
      isConnected: (peer) => this.#world.isConnected(this.id, peer),
    };
  }

  #groupOptions(): GroupOptions {
    return {
      disk: this.disk,
      directory: groupDirectory,
      group: 0,
      drawSalt: () => this.#random.below(2 ** 32),
      logSizes: this.#world.options.logSizes,
    };
  }
}
