/**
 * A seeded walk through what can happen to a cluster: messages lost, doubled and reordered, writes that
 * take long, crashes that lose them, partitions, and every request a leader takes.
 */

import { must } from "../../server/raft/assert.ts";
import { configuration, type Configuration } from "../../server/raft/configuration.ts";
import { index, nodeId } from "../../server/raft/entry.ts";
import { majority } from "../../server/raft/quorum.ts";
import { nextStep } from "../../server/member-change.ts";
import type { Raft } from "../../server/raft/raft.ts";
import { afterPromotion } from "../sim/electorates.ts";
import { Cluster, flightText, type TestNode } from "./cluster.ts";
import { dataOf, memberOf, membersOf } from "./message-text.ts";
import type { Random } from "./random.ts";

/** Messages in flight past which the oldest are lost. */
const inFlightMax = 100;
/** Ticks in which a healed cluster must have elected somebody and committed. */
const recoveryTicksMax = 300;
const machines = "1,2,3,4,5,6";

/** Where directories may be wiped, each is in a life of its own; elsewhere an id is enough. */
const inFirstLife = (members: string, hasWipes: boolean): Configuration =>
  membersOf(hasWipes ? members.replaceAll(/\d/g, "$&'") : members);

interface Action {
  readonly weight: number;
  readonly act: (walk: RandomWalk) => void;
}

export class RandomWalk {
  readonly cluster: Cluster;
  readonly random: Random;
  readonly hasDamage: boolean;
  readonly hasWipes: boolean;
  #requests = 0;

  constructor(random: Random, isTraced: boolean) {
    this.random = random;
    const members = random.pick(["1,2,3", "1,2,3,4,5", "1,2,3,~4", "1,2", "1"]);
    this.hasWipes = random.below(2) === 0;
    const initial = inFirstLife(members, this.hasWipes);
    this.cluster = new Cluster({
      configuration: initial,
      isTraced,
      areAssertionsFatal: true,
      random: () => () => random.float(),
      limits: {
        appendBytesMax: random.pick([50, 200, 1000]),
        inflightMessagesMax: random.pick([1, 2, 8]),
        uncommittedBytesMax: random.pick([300, 100_000]),
        catchUpTickBytes: this.hasWipes ? 100 : Infinity,
      },
    });
    for (const { id, incarnation } of inFirstLife(machines, this.hasWipes).members) {
      if (!this.cluster.nodes.has(id)) this.cluster.add(id, incarnation);
    }
    this.hasDamage = random.below(3) === 0;
  }

  step(): void {
    let rest = this.random.below(weightSum);
    const chosen = actions.find(({ weight }) => (rest -= weight) < 0);
    must(chosen, "the weights add up").act(this);
    const { inFlight } = this.cluster;
    if (inFlight.length > inFlightMax) {
      this.cluster.lose(inFlight.slice(0, inFlight.length - inFlightMax));
    }
  }

  /**
   * Everything is repaired, and then the cluster must be of use again; unless damage has taken the logs
   * of so many that the others are no majority: those wait for ever, and are not of interest here.
   */
  recover(): void {
    const { cluster } = this;
    cluster.blocked.clear();
    for (const node of cluster.nodes.values()) {
      if (!node.raft) this.restart(node);
      this.release(node);
    }
    if (!this.#hasWholeMajority()) return;
    let proposed: number | null = null;
    for (let tick = 0; tick < recoveryTicksMax; tick++) {
      healStep(this);
      for (const node of cluster.nodes.values()) cluster.run(node, (raft) => raft.tick());
      for (let round = 0; cluster.inFlight.length > 0 && round < 20; round++) {
        cluster.deliver(cluster.inFlight);
      }
      for (const { raft } of cluster.nodes.values()) {
        if (!raft) throw new Error("a node asserted while it recovered");
      }
      if (proposed !== null && this.#areAllAt(proposed)) return;
      if (proposed === null || tick % 50 === 49) proposed = this.#proposeAtLeader();
    }
    throw new Error("the healed cluster does not commit");
  }

  /** Whichever member list is to be the last one. */
  #hasWholeMajority(): boolean {
    const nodes = [...this.cluster.nodes.values()];
    return nodes.every(({ raft }) => {
      const { current, committed } = must(raft, "all are up").configurations.newest;
      // Whoever is promoted is a voter in a moment.
      const all = [current, committed].flatMap((config) => [config, ...afterPromotion(config)]);
      return all.every((config) => this.hasMajority(config));
    });
  }

  /** Whether enough of the voters have what they once had. */
  hasMajority({ members }: Configuration, without: TestNode | null = null): boolean {
    const ids = members.filter(({ role }) => role === "voter");
    const whole = ids.filter(({ id, incarnation }) => {
      const node = this.cluster.node(id);
      return node !== without && node.incarnation === incarnation && !node.disk.isRecovering;
    });
    return whole.length >= majority(ids.length);
  }

  #proposeAtLeader(): number | null {
    let at: number | null = null;
    for (const node of this.leaders()) {
      this.cluster.run(node, (raft) => {
        const result = raft.propose([{ data: dataOf("last"), timeMs: 0 }]);
        if (result.ok) at = result.firstIndex;
      });
    }
    return at;
  }

  #areAllAt(at: number): boolean {
    if (this.cluster.invariants.lastCommitted < at) return false;
    const { members } = this.cluster.invariants.configurationAt(index(at));
    return members.every(({ id, incarnation }) => {
      const { disk, incarnation: current } = this.cluster.node(id);
      return incarnation === current && disk.appliedIndex >= at;
    });
  }

  node(): TestNode {
    return this.random.pick([...this.cluster.nodes.values()]);
  }

  leaders(): TestNode[] {
    return [...this.cluster.nodes.values()].filter(({ raft }) => raft?.role.kind === "leader");
  }

  leader(): TestNode | null {
    const leaders = this.leaders();
    return leaders.length > 0 ? this.random.pick(leaders) : null;
  }

  nextRequest(): number {
    return ++this.#requests;
  }

  /** A crash may come between any two steps of a write. */
  crash(node: TestNode): void {
    const write = node.writes.find(({ isWritten }) => !isWritten);
    if (write) {
      const done = this.random.below(4);
      if (done >= 1) this.cluster.writeHardState(node, write.ready);
      if (done === 2 && !write.ready.snapshot) {
        const count = this.random.below(write.ready.entries.length + 1);
        node.disk.log.append(write.ready.entries.slice(0, count));
      }
      if (done === 3) this.cluster.write(node);
    }
    this.cluster.crash(node);
  }

  /** The state machine may come back a little older than it was, down to where the log begins. */
  age({ disk }: TestNode): void {
    const oldest = disk.log.firstIndex - 1;
    disk.appliedIndex = index(oldest + this.random.below(disk.appliedIndex - oldest + 1));
    disk.configuration = this.cluster.invariants.configurationAt(disk.appliedIndex);
  }

  restart(node: TestNode): void {
    this.age(node);
    node.isHeld = false;
    this.cluster.start(node);
  }

  release(node: TestNode): void {
    node.isHeld = false;
    while (node.writes.length > 0 && node.raft) this.cluster.persist(node);
  }

  atLeader(act: (raft: Raft) => void): void {
    const node = this.leader();
    if (node) this.cluster.run(node, act);
  }
}

const actions: readonly Action[] = [
  { weight: 60, act: deliverSome },
  { weight: 70, act: deliverLink },
  { weight: 4, act: (walk) => walk.cluster.lose(someFlights(walk)) },
  { weight: 6, act: (walk) => void walk.cluster.inFlight.push(...someFlights(walk)) },
  { weight: 15, act: tickOne },
  { weight: 10, act: tickAll },
  { weight: 15, act: propose },
  { weight: 12, act: read },
  { weight: 3, act: (walk) => walk.crash(walk.node()) },
  { weight: 6, act: restartOne },
  { weight: 4, act: damageLog },
  { weight: 3, act: wipe },
  { weight: 12, act: healStep },
  { weight: 3, act: cut },
  { weight: 2, act: (walk) => walk.cluster.blocked.clear() },
  { weight: 4, act: changeMembers },
  { weight: 3, act: transfer },
  { weight: 8, act: compact },
  { weight: 5, act: (walk) => void (walk.node().isHeld = true) },
  { weight: 12, act: (walk) => walk.cluster.persist(walk.node()) },
  { weight: 8, act: (walk) => walk.release(walk.node()) },
  { weight: 2, act: unreachable },
];
const weightSum = actions.reduce((sum, { weight }) => sum + weight, 0);

function someFlights({ cluster, random }: RandomWalk): Cluster["inFlight"] {
  const { inFlight } = cluster;
  if (inFlight.length === 0) return [];
  return [...new Set([random.pick(inFlight), random.pick(inFlight)])];
}

function deliverSome(walk: RandomWalk): void {
  const flights = someFlights(walk);
  for (const flight of flights) walk.cluster.note(`deliver ${flightText(flight)}`);
  walk.cluster.deliver(flights);
}

/** All of one link in the order it was sent, as a connection would bring it. */
function deliverLink({ cluster, random }: RandomWalk): void {
  if (cluster.inFlight.length === 0) return;
  const { from, to } = random.pick(cluster.inFlight);
  cluster.note(`deliver ${from}->${to}`);
  cluster.deliver(cluster.inFlight.filter((flight) => flight.from === from && flight.to === to));
}

function tickOne(walk: RandomWalk): void {
  const count = walk.random.pick([1, 1, 1, 2, 3, 12]);
  const node = walk.node();
  for (let i = 0; i < count; i++) walk.cluster.run(node, (raft) => raft.tick());
}

function tickAll({ cluster, random }: RandomWalk): void {
  const count = random.pick([1, 2, 3]);
  for (let i = 0; i < count; i++) {
    for (const node of cluster.nodes.values()) cluster.run(node, (raft) => raft.tick());
  }
}

function propose(walk: RandomWalk): void {
  walk.atLeader((raft) => {
    const count = 1 + walk.random.below(3);
    const proposals = Array.from({ length: count }, () => ({
      data: dataOf(`c${walk.nextRequest()}`),
      timeMs: walk.random.below(1000),
    }));
    raft.propose(proposals);
  });
}

function read(walk: RandomWalk): void {
  const node = walk.random.below(2) === 0 ? (walk.leader() ?? walk.node()) : walk.node();
  walk.cluster.run(node, (raft) => {
    const requestId = walk.nextRequest();
    walk.cluster.invariants.asked(node.id, requestId);
    raft.readIndex(requestId);
  });
}

function restartOne(walk: RandomWalk): void {
  const down = [...walk.cluster.nodes.values()].filter(({ raft }) => raft === null);
  if (down.length > 0) walk.restart(walk.random.pick(down));
}

/** The end of a log cannot be read any more, from anywhere on; in some walks only. */
function damageLog(walk: RandomWalk): void {
  if (!walk.hasDamage) return;
  const node = walk.node();
  if (node.raft) walk.crash(node);
  walk.age(node);
  const { firstIndex, lastIndex } = node.disk.log;
  walk.cluster.damage(node, index(firstIndex + walk.random.below(lastIndex - firstIndex + 2)));
  walk.restart(node);
}

/** A directory is deleted, as long as most voters of any member list in use keep theirs. */
function wipe(walk: RandomWalk): void {
  if (!walk.hasWipes) return;
  const { cluster } = walk;
  const victim = walk.node();
  const lists = [cluster.invariants.configurationAt(cluster.invariants.lastCommitted)];
  for (const { raft } of cluster.nodes.values()) {
    if (raft) lists.push(raft.configurations.newest.current, raft.configurations.newest.committed);
  }
  if (lists.every((list) => walk.hasMajority(list, victim))) cluster.wipe(victim);
}

const incarnationOf = ({ members }: Configuration, id: number): string | null =>
  members.find((member) => member.id === id)?.incarnation ?? null;

/** What a leader does by itself about directories that its configuration does not name. */
function healStep(walk: RandomWalk): void {
  if (!walk.hasWipes) return;
  const nodes = [...walk.cluster.nodes.values()];
  walk.atLeader((raft) => {
    const { current, committed } = raft.configurations.newest;
    if (current !== committed) return;
    const newcomers = nodes.map(({ id, incarnation }) => ({
      ...memberOf(incarnation || `${id}`),
      insteadOf: incarnationOf(current, id),
      hasWaited: true,
    }));
    const next = nextStep(current, {
      newcomers,
      isConnected: (id) => raft.isNamed(id, walk.cluster.node(id).incarnation),
      isCaughtUp: (id) => {
        const progress = raft.role.kind === "leader" ? raft.role.progress.get(id) : undefined;
        return progress?.flow.kind === "replicate" && progress.match + 2 >= raft.log.commitIndex;
      },
      isMajorityThere: () => true,
    });
    if (next) raft.proposeConfiguration(next, 0);
  });
}

/** One link in one direction, a leader alone, or any two groups. */
function cut(walk: RandomWalk): void {
  const { cluster, random } = walk;
  const ids = [...cluster.nodes.keys()];
  const kind = random.below(3);
  if (kind === 0) {
    cluster.blocked.add(`${random.pick(ids)}>${random.pick(ids)}`);
    return;
  }
  const alone = kind === 1 ? walk.leader() : null;
  const side = new Map(ids.map((id) => [id, alone ? Number(id === alone.id) : random.below(2)]));
  for (const from of ids) {
    for (const to of ids) if (side.get(from) !== side.get(to)) cluster.blocked.add(`${from}>${to}`);
  }
}

function changeMembers(walk: RandomWalk): void {
  walk.atLeader((raft) => {
    const id = nodeId(1 + walk.random.below(membersOf(machines).members.length));
    const next = changed(raft.configuration, walk.cluster.node(id), walk.random);
    if (next) raft.proposeConfiguration(next, 0);
  });
}

function changed(
  before: Configuration,
  { id, incarnation }: TestNode,
  random: Random,
): Configuration | null {
  const others = before.members.filter((member) => member.id !== id);
  if (before.retired.includes(incarnation)) return null;
  const gone = before.members.find((member) => member.id === id)?.incarnation ?? "";
  const name = incarnation || `${id}`;
  const hasVoter = others.some(({ role }) => role === "voter");
  const isPromoted = before.members.some((member) => member.id === id && member.role !== "learner");
  switch (random.below(3)) {
    case 0:
      if (!hasVoter) return null;
      return configuration(others, {
        ...before,
        retired: gone === "" ? before.retired : [...before.retired, gone],
      });
    case 1:
      return configuration([...others, memberOf(`${isPromoted ? "" : "+"}${name}`)], before);
    default:
      if (!hasVoter) return null;
      return configuration([...others, memberOf(`~${name}`)], before);
  }
}

function transfer(walk: RandomWalk): void {
  const to = walk.node().id;
  walk.atLeader((raft) => void raft.transferLeadership(to));
}

function compact(walk: RandomWalk): void {
  const { disk, raft } = walk.node();
  const room = disk.appliedIndex - disk.log.firstIndex;
  if (!raft || raft.log.pendingSnapshot !== null || room < 1) return;
  const at = index(disk.log.firstIndex + walk.random.below(room + 1));
  disk.snapshot = { lastIndex: at, configuration: walk.cluster.invariants.configurationAt(at) };
  // Some of the log may stay, for followers that are only a little behind.
  disk.log.compact(
    index(disk.log.firstIndex - 1 + walk.random.below(at - disk.log.firstIndex + 2)),
  );
}

function unreachable(walk: RandomWalk): void {
  const peer = walk.node().id;
  const node = walk.node();
  if (node.raft) walk.cluster.run(node, (raft) => raft.unreachable(peer));
}
