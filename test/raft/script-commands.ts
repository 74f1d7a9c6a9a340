/** The commands of the scripts: each reads its words and lets something happen to the cluster. */

import { must } from "../../server/raft/assert.ts";
import { configuration, type Configuration } from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Entry, type NodeId } from "../../server/raft/entry.ts";
import type { ProposeResult } from "../../server/raft/leader.ts";
import {
  Cluster,
  flightText,
  randomFor,
  stateText,
  type Flight,
  type TestNode,
} from "./cluster.ts";
import { everyMessage } from "./every-message.ts";
import { dataOf, entryText, memberOf, membersOf, messageOf } from "./message-text.ts";

/** Rounds after which a cluster that does not come to rest is said to run in circles. */
const roundsMax = 100;

export class Script {
  #cluster = new Cluster({ configuration: membersOf("1") });
  /** What led here, to be run again. */
  #history: string[] = [];

  /** Runs a line and returns what it showed. */
  run(line: string): string[] {
    const words = line.trim().split(/\s+/);
    const isQuiet = words[0] === "quiet";
    const [name = "", ...rest] = isQuiet ? words.slice(1) : words;
    if (name === "every-message") return this.#everyMessage(must(rest[0], "a link"));
    this.#history.push(line);
    if (name === "cluster") this.#cluster = newCluster(rest);
    else must(commands[name], `there is no command "${name}"`)(this.#cluster, rest);
    const shown = this.#cluster.takeTrace();
    return isQuiet ? [] : shown;
  }

  /** What each message would do in the present situation, which is made anew for each of them. */
  #everyMessage(link: string): string[] {
    const receiver = Number(link.split("->")[1]);
    const raft = this.#cluster.raft(receiver);
    const shown: string[] = [];
    for (const text of everyMessage(raft)) {
      const other = new Script();
      for (const line of this.#history) other.run(line);
      other.#cluster.invariants.areSuspended = true;
      const [, ...effects] = other.run(`step ${link} ${text}`);
      shown.push(`${text}:`, ...(effects.length > 0 ? effects : ["nothing"]).map((e) => `  ${e}`));
    }
    return shown;
  }
}

type Command = (cluster: Cluster, words: readonly string[]) => void;

function newCluster(words: readonly string[]): Cluster {
  const option = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const limit = (name: string, key: string): Record<string, number> => {
    const text = option(name);
    return text === undefined ? {} : { [key]: Number(text) };
  };
  const members = membersOf(must(option("members"), "cluster members=1,2,~3"));
  return new Cluster({
    configuration: members,
    limits: {
      ...limit("append-bytes", "appendBytesMax"),
      ...limit("window", "inflightMessagesMax"),
      ...limit("window-bytes", "inflightBytesMax"),
      ...limit("uncommitted-bytes", "uncommittedBytesMax"),
      ...limit("commit-wait", "commitWaitTicks"),
      ...limit("rest-heartbeat", "restHeartbeatTicks"),
      ...limit("catch-up-bytes", "catchUpTickBytes"),
    },
  });
}

const numberAt = (words: readonly string[], at: number): number =>
  Number(must(words[at], "another number"));

function nodeAt(cluster: Cluster, words: readonly string[]): TestNode {
  return cluster.node(numberAt(words, 0));
}

/** `a->b` selects a link, a number how many from the oldest on, `@n` the n-th alone. */
function select(cluster: Cluster, words: readonly string[]): Flight[] {
  const link = words.find((word) => word.includes("->"));
  const [from, to] = (link ?? "->").split("->");
  const matching = cluster.inFlight.filter(
    (flight) => (!from || flight.from === Number(from)) && (!to || flight.to === Number(to)),
  );
  const one = words.find((word) => word.startsWith("@"));
  if (one) return [must(matching[Number(one.slice(1)) - 1], `there is no message ${one}`)];
  const count = words.find((word) => /^\d+$/.test(word));
  return count === undefined ? matching : matching.slice(0, Number(count));
}

function stabilize(cluster: Cluster, words: readonly string[]): void {
  const among = new Set(words.map(Number));
  const isAmong = (id: NodeId): boolean => among.size === 0 || among.has(id);
  for (let round = 0; round < roundsMax; round++) {
    const flights = cluster.inFlight.filter(({ from, to }) => isAmong(from) && isAmong(to));
    if (flights.length === 0) return;
    cluster.deliver(flights);
  }
  throw new Error("the cluster does not come to rest");
}

/** Ticks until the election timeout has passed, and no other node's clock. */
function campaign(cluster: Cluster, words: readonly string[]): void {
  const node = nodeAt(cluster, words);
  const { role } = cluster.raft(node.id);
  if (role.kind === "leader") throw new Error("a leader does not campaign");
  const due = role.electionTimeout - role.electionElapsed;
  for (let i = 0; i < due; i++) cluster.run(node, (raft) => raft.tick());
}

function showResult(cluster: Cluster, result: ProposeResult): void {
  if (!result.ok) cluster.note(`refused: ${result.error}`);
}

function changedMembers(before: Configuration, what: string, word: string): Configuration {
  const { id } = memberOf(word);
  const gone = before.members.find((member) => member.id === id)?.incarnation ?? "";
  const others = before.members.filter((member) => member.id !== id);
  const { retired } = before;
  switch (what) {
    case "add-learner":
    case "demote":
      return configuration([...others, memberOf(`~${word}`)], { retired });
    case "promote":
      return configuration([...others, memberOf(`+${word}`)], { retired });
    case "enfranchise":
      return configuration([...others, memberOf(word)], { retired });
    case "remove":
      return configuration(others, { retired: gone === "" ? retired : [...retired, gone] });
    default:
      throw new Error(`there is no change "${what}"`);
  }
}

const commands: Record<string, Command> = {
  /** A machine that is not a member yet. */
  machine: (cluster, words) => void cluster.add(nodeId(numberAt(words, 0))),

  /** A node's directory is deleted, and it starts again as another one with the same id. */
  wipe: (cluster, words) => cluster.wipe(nodeAt(cluster, words)),

  /** The election timeouts a node draws, over and over. */
  timeouts: (cluster, words) => {
    const node = nodeAt(cluster, words);
    const cycle = words.slice(1).map(Number);
    let drawn = 0;
    node.random = () => randomFor(must(cycle[drawn++ % cycle.length], "a timeout"));
    if (node.raft) cluster.start(node);
    cluster.takeTrace();
  },

  /** What is on a node's disk: `disk 1 term=3 vote=2 applied=1 1 1 3`, the rest the entries' terms. */
  disk: (cluster, words) => {
    const node = nodeAt(cluster, words);
    const option = (name: string): number =>
      Number(words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ?? 0);
    const vote = option("vote");
    node.disk.hardState = { term: term(option("term")), vote: vote > 0 ? nodeId(vote) : null };
    const terms = words.slice(1).filter((word) => /^\d+$/.test(word));
    node.disk.log.append(terms.map((word, i) => plantedEntry(i + 1, Number(word))));
    node.disk.appliedIndex = index(option("applied"));
    cluster.invariants.planted(node.disk.log, node.disk.appliedIndex);
    cluster.start(node);
  },

  tick: (cluster, words) => {
    const count = words[1] === undefined ? 1 : Number(words[1]);
    for (let i = 0; i < count; i++) cluster.run(nodeAt(cluster, words), (raft) => raft.tick());
  },

  campaign,

  elect: (cluster, words) => {
    campaign(cluster, words);
    stabilize(cluster, []);
  },

  propose: (cluster, words) => {
    cluster.run(nodeAt(cluster, words), (raft) => {
      const proposals = words.slice(1).map((word) => ({ data: dataOf(word), timeMs: 0 }));
      showResult(cluster, raft.propose(proposals));
    });
  },

  /** With the proposer's clock: `propose-at 1 500 a`. */
  "propose-at": (cluster, words) => {
    cluster.run(nodeAt(cluster, words), (raft) => {
      const data = dataOf(must(words[2], "data"));
      showResult(cluster, raft.propose([{ data, timeMs: numberAt(words, 1) }]));
    });
  },

  deliver: (cluster, words) => cluster.deliver(select(cluster, words)),
  drop: (cluster, words) => cluster.lose(select(cluster, words)),
  stabilize,

  duplicate: (cluster, words) => void cluster.inFlight.push(...select(cluster, words)),

  /** Brings a message in front of all others. */
  overtake: (cluster, words) => {
    const first = select(cluster, words);
    cluster.inFlight = [...first, ...cluster.inFlight.filter((other) => !first.includes(other))];
  },

  "in-flight": (cluster) => {
    for (const flight of cluster.inFlight) cluster.note(flightText(flight));
  },

  /** A message nobody sent; `3'->1` as from another directory than the one that was named 3 first. */
  step: (cluster, words) => {
    const [from = "", to = ""] = must(words[0], "a link").split("->");
    const flight: Flight = {
      from: nodeId(Number.parseInt(from, 10)),
      to: nodeId(Number(to)),
      message: messageOf(words.slice(1)),
      ...(from.endsWith("'") ? { incarnations: { from, to: "" } } : {}),
    };
    cluster.note(flightText(flight));
    cluster.deliver([flight]);
  },

  /** From here on the writes of a node take until `persist`. */
  hold: (cluster, words) => {
    nodeAt(cluster, words).isHeld = true;
  },

  release: (cluster, words) => {
    const node = nodeAt(cluster, words);
    node.isHeld = false;
    while (node.writes.length > 0) cluster.persist(node);
  },

  persist: (cluster, words) => cluster.persist(nodeAt(cluster, words)),

  /** Writes, and does not come to say so: a crash may follow. */
  write: (cluster, words) => void cluster.write(nodeAt(cluster, words)),

  /** Term and vote are written, the log is not. */
  "write-hard-state": (cluster, words) => {
    const node = nodeAt(cluster, words);
    cluster.writeHardState(node, must(node.writes[0], "a write").ready);
  },

  crash: (cluster, words) => cluster.crash(nodeAt(cluster, words)),

  /** Stops the node; its log is found damaged from an index on. It restarts as recovering. */
  damage: (cluster, words) => {
    cluster.damage(nodeAt(cluster, words), index(numberAt(words, 1)));
  },

  restart: (cluster, words) => {
    const node = nodeAt(cluster, words);
    if (node.raft) cluster.crash(node);
    node.isHeld = false;
    cluster.start(node);
  },

  /** `partition 1 2 | 3`: messages between the groups are lost. */
  partition: (cluster, words) => {
    const groups = words
      .join(" ")
      .split("|")
      .map((group) => group.trim().split(" "));
    for (const group of groups) {
      const others = groups.filter((other) => other !== group).flat();
      for (const from of group) for (const to of others) cluster.blocked.add(`${from}>${to}`);
    }
  },

  /** One way only: `block 1->2 1->3`. */
  block: (cluster, words) => {
    for (const word of words) cluster.blocked.add(word.replace("->", ">"));
  },

  heal: (cluster) => cluster.blocked.clear(),

  unreachable: (cluster, words) => {
    const peer = nodeId(numberAt(words, 1));
    cluster.run(nodeAt(cluster, words), (raft) => raft.unreachable(peer));
  },

  /** `read 2 7 8`: requests 7 and 8 in one drain of node 2. */
  read: (cluster, words) => {
    const node = nodeAt(cluster, words);
    cluster.run(node, (raft) => {
      for (const word of words.slice(1)) {
        cluster.invariants.asked(node.id, Number(word));
        raft.readIndex(Number(word));
      }
    });
  },

  transfer: (cluster, words) => {
    cluster.run(nodeAt(cluster, words), (raft) => {
      const began = raft.transferLeadership(nodeId(numberAt(words, 1)));
      if (!began) cluster.note("refused");
    });
  },

  /** `config 1 add-learner 4`, also promote, enfranchise, demote and remove, several in one change. */
  config: (cluster, words) => {
    cluster.run(nodeAt(cluster, words), (raft) => {
      const [, what = "", ...ids] = words;
      let next = raft.configuration;
      for (const id of ids) next = changedMembers(next, what, id);
      showResult(cluster, raft.proposeConfiguration(next, 0));
    });
  },

  /** Takes a snapshot of what is applied up to an index. */
  snapshot: (cluster, words) => takeSnapshot(cluster, nodeAt(cluster, words), numberAt(words, 1)),

  /** Takes a snapshot and forgets the log up to it. */
  compact: (cluster, words) => {
    const node = nodeAt(cluster, words);
    takeSnapshot(cluster, node, numberAt(words, 1));
    node.disk.log.compact(index(numberAt(words, 1)));
  },

  status: (cluster, words) => {
    for (const node of cluster.nodes.values()) {
      if (words.length > 0 && !words.includes(`${node.id}`)) continue;
      const { raft } = node;
      cluster.note(`${node.id}: ${raft ? stateText(raft).join(" ") : "down"}`);
    }
  },

  /** What is on disk, and what is not yet. */
  log: (cluster, words) => {
    for (const word of words) {
      const { id, disk, raft } = cluster.node(Number(word));
      const { firstIndex, lastIndex } = raft?.log ?? disk.log;
      const source = raft ? raft.log : disk.log;
      const entries = lastIndex < firstIndex ? [] : source.entries(firstIndex, lastIndex, Infinity);
      const from = firstIndex > 1 ? `from ${firstIndex}: ` : "";
      cluster.note(`${id}: ${from}${entries.map(entryText).join(" ") || "empty"}`);
    }
  },

  applied: (cluster, words) => {
    for (const word of words) {
      cluster.note(`${word}: ${cluster.node(Number(word)).applied.join(" ")}`);
    }
  },

  /** What a leader knows of the others. */
  progress: (cluster, words) => {
    const { role } = cluster.raft(numberAt(words, 0));
    if (role.kind !== "leader") throw new Error("only a leader keeps progress");
    for (const [id, { match, next, flow }] of role.progress) {
      if (words[0] === `${id}`) continue;
      const window = flow.kind === "replicate" ? ` inflight=${flow.inflight.count}` : "";
      cluster.note(`${id}: ${flow.kind} match=${match} next=${next}${window}`);
    }
  },
};

function plantedEntry(at: number, inTerm: number): Entry {
  const data = dataOf(`${at}.${inTerm}`);
  return { index: index(at), term: term(inTerm), kind: "command", timeMs: 0, data };
}

function takeSnapshot(cluster: Cluster, { disk }: TestNode, at: number): void {
  if (at > disk.appliedIndex) throw new Error("a snapshot holds what is applied");
  const members = cluster.invariants.configurationAt(index(at));
  disk.snapshot = { lastIndex: index(at), configuration: members };
}
