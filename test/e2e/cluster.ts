/** A cluster of real processes: started, asked, killed, stopped and started again. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { commandOf, type Form } from "./executable.ts";
import { type Answer, ask, type Question } from "./http.ts";
import { freePorts } from "./ports.ts";
import { type Ending, type Input, KvProcess } from "./process.ts";
import type { Scope } from "./scope.ts";
import { until } from "./wait.ts";

/** `GET /v1/status`, as far as the tests look at it. */
export interface Status {
  nodeId: number;
  clusterId: string | null;
  role: "leader" | "follower" | "candidate" | "learner";
  term: number;
  leaderId: number | null;
  commitIndex: number;
  appliedIndex: number;
  firstLogIndex: number;
  lastLogIndex: number;
  snapshotIndex: number;
  stateHash: string;
  mending: { log: string | null; state: string | null } | null;
  members: { id: number; role: string; raft: string; http: string }[];
}

export interface ClusterOptions {
  readonly size?: number;
  /** Of each node in the order of ids; default: the executable everywhere. */
  readonly forms?: readonly Form[];
  /** Given to every node at every start. */
  readonly flags?: readonly string[];
  /** The nodes listen for peers elsewhere than they say, so that something can stand in between. */
  readonly behindProxies?: boolean;
}

export interface StartOptions {
  readonly input?: Input;
  readonly flags?: readonly string[];
}

/** How long a cluster may take to form, or to come together again after a restart of all. */
export const formationMs = 15_000;
/** How long it may be without a leader after the old one was killed. */
export const electionMs = 5_000;
/** How long a stopping process may take. */
export const stopMs = 3_000;

export const keyPath = (key: string): string => `/v1/kv/${encodeURIComponent(key)}`;

/** `ID=RAFT/HTTP` */
export const placeOf = ({ id, raftPort, httpPort }: ClusterNode): string =>
  `${id}=127.0.0.1:${raftPort}/127.0.0.1:${httpPort}`;

export class ClusterNode {
  readonly id: number;
  readonly httpPort: number;
  /** Where its peers look for it. */
  readonly raftPort: number;
  /** Where it listens for them: the same unless a proxy stands in between. */
  readonly raftListenPort: number;
  form: Form;
  /** Of every process from now on. */
  environment: Record<string, string> = {};
  /** What every process from now on is started under: a program that becomes the node's own. */
  wrapper: readonly string[] = [];
  /** Of a machine that came after the formation; otherwise the cluster's. */
  spec: string | null = null;
  readonly #scope: Scope;
  readonly #cluster: Cluster;
  #process: KvProcess | null = null;

  constructor(
    scope: Scope,
    cluster: Cluster,
    options: {
      id: number;
      httpPort: number;
      raftPort: number;
      raftListenPort: number;
      form: Form;
    },
  ) {
    this.#scope = scope;
    this.#cluster = cluster;
    this.id = options.id;
    this.httpPort = options.httpPort;
    this.raftPort = options.raftPort;
    this.raftListenPort = options.raftListenPort;
    this.form = options.form;
  }

  /** The last process of this node. */
  get process(): KvProcess {
    if (this.#process === null) throw new Error(`node ${this.id} was never started`);
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process?.isRunning ?? false;
  }

  get directory(): string {
    return join(this.#cluster.dataDirectory, `node-${this.id}`);
  }

  get command(): string[] {
    const own = ["--nodeid", String(this.id), "--data-dir", this.#cluster.dataDirectory];
    const common = ["--cluster", this.spec ?? this.#cluster.spec, ...this.#cluster.flags];
    const command = [...commandOf(this.form), ...own, ...common];
    if (this.raftListenPort === this.raftPort) return command;
    return [...command, "--raft", `127.0.0.1:${this.raftListenPort}`];
  }

  start(options: StartOptions = {}): KvProcess {
    const { input = "none", flags = [] } = options;
    assert.not(this.isRunning, `node ${this.id} runs already`);
    const quiet = input === "none" ? ["--no-repl"] : [];
    this.#process = new KvProcess(this.#scope, {
      name: `node ${this.id}`,
      command: [...this.wrapper, ...this.command, ...quiet, ...flags],
      input,
      environment: this.environment,
    });
    return this.#process;
  }

  async kill(): Promise<void> {
    await this.process.kill();
  }

  /** An orderly stop: ends with 0 in time. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ending> {
    this.process.signal(signal);
    const ending = await this.process.endsWithin(stopMs);
    assert.equal(ending, { code: 0, signal: null }, `how node ${this.id} ended after ${signal}`);
    return ending;
  }

  /** Removes the directory of a node that does not run. */
  wipe(): void {
    assert.not(this.isRunning, `node ${this.id} runs`);
    rmSync(this.directory, { recursive: true, force: true });
  }

  ask(method: string, path: string, question?: Question): Promise<Answer> {
    return ask(this.httpPort, method, path, question);
  }

  put(key: string, value: string | Uint8Array, question: Question = {}): Promise<Answer> {
    return this.ask("PUT", keyPath(key), { ...question, body: value });
  }

  get(key: string, level?: "local"): Promise<Answer> {
    return this.ask("GET", keyPath(key) + (level === undefined ? "" : `?level=${level}`));
  }

  async status(): Promise<Status> {
    const answer = await this.ask("GET", "/v1/status", { timeoutMs: 2_000 });
    if (answer.status !== 200) throw new Error(`status ${answer.status}: ${answer.text}`);
    return answer.json() as unknown as Status;
  }

  async isReady(): Promise<boolean> {
    const answer = await this.ask("GET", "/readyz", { timeoutMs: 2_000 });
    return answer.status === 200;
  }

  /** A put that must succeed, though perhaps not at the first try; returns the revision. */
  async mustPut(key: string, value: string | Uint8Array, within = electionMs): Promise<number> {
    const answer = await until(`a put on node ${this.id}`, within, async () => {
      const tried = await this.put(key, value);
      if (tried.status > 201) throw new Error(`${tried.status} ${tried.text}`);
      return tried;
    });
    return answer.json()["revision"] as number;
  }
}

export class Cluster {
  /** In the order of ids; a test that changes the members changes it too. */
  nodes: readonly ClusterNode[];
  /** What `--cluster` is given. */
  readonly spec: string;
  dataDirectory: string;
  readonly flags: readonly string[];
  readonly #scope: Scope;

  private constructor(scope: Scope, ports: readonly number[], options: ClusterOptions) {
    const { size = 3, forms = [], flags = [], behindProxies = false } = options;
    this.#scope = scope;
    this.flags = flags;
    this.dataDirectory = join(scope.temporaryDirectory(), "data");
    this.nodes = Array.from({ length: size }, (_, offset) => {
      const [raftPort = 0, httpPort = 0, hiddenPort = 0] = ports.slice(3 * offset);
      const raftListenPort = behindProxies ? hiddenPort : raftPort;
      const form = forms[offset] ?? "executable";
      const own = { id: offset + 1, raftPort, raftListenPort, httpPort, form };
      return new ClusterNode(scope, this, own);
    });
    this.spec = this.nodes.map(placeOf).join(",");
  }

  /** A machine that is no member, with an address of its own. It is started like any other. */
  async newMachine(id: number): Promise<ClusterNode> {
    const [raftPort = 0, httpPort = 0] = await freePorts(2);
    const own = { id, raftPort, raftListenPort: raftPort, httpPort, form: "executable" } as const;
    const machine = new ClusterNode(this.#scope, this, own);
    const others = this.nodes.filter((node) => node.id !== id);
    machine.spec = [...others, machine].map(placeOf).join(",");
    return machine;
  }

  /** Nothing runs yet. */
  static async prepare(scope: Scope, options: ClusterOptions = {}): Promise<Cluster> {
    const ports = await freePorts(3 * (options.size ?? 3));
    return new Cluster(scope, ports, options);
  }

  /** All nodes run and know their leader. */
  static async start(scope: Scope, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.prepare(scope, options);
    cluster.startAll();
    await cluster.whole();
    return cluster;
  }

  startAll(): void {
    for (const node of this.nodes) if (!node.isRunning) node.start();
  }

  node(id: number): ClusterNode {
    const node = this.nodes.find((each) => each.id === id);
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  get running(): ClusterNode[] {
    return this.nodes.filter((node) => node.isRunning);
  }

  /** From now on the nodes' files are in another, empty place. */
  moveToEmptyDirectory(): void {
    this.dataDirectory = join(this.#scope.temporaryDirectory(), "data");
  }

  async killAll(): Promise<void> {
    await Promise.all(this.running.map((node) => node.kill()));
  }

  async stopAll(): Promise<void> {
    for (const node of this.running) node.process.signal("SIGTERM");
    for (const node of this.running) await node.process.endsWithin(2 * stopMs);
  }

  /** The node that a majority, itself included, follows in one term. */
  leader(within = electionMs): Promise<ClusterNode> {
    return until("a leader with a majority", within, async () => {
      const states = await Promise.allSettled(this.running.map((node) => node.status()));
      const known = states.flatMap((state) => (state.status === "fulfilled" ? [state.value] : []));
      const leading = known.filter(({ role }) => role === "leader").sort((a, b) => b.term - a.term);
      const [first] = leading;
      if (first === undefined) return null;
      const following = known.filter(
        ({ leaderId, term }) => leaderId === first.nodeId && term === first.term,
      );
      return 2 * following.length > this.nodes.length ? this.node(first.nodeId) : null;
    });
  }

  async followers(within = electionMs): Promise<ClusterNode[]> {
    const leader = await this.leader(within);
    return this.running.filter((node) => node !== leader);
  }

  /** All nodes run, are ready and follow one leader. */
  whole(within = formationMs): Promise<ClusterNode> {
    return until("all nodes follow one leader", within, async () => {
      const states = await Promise.all(this.nodes.map((node) => node.status()));
      const ready = await Promise.all(this.nodes.map((node) => node.isReady()));
      const [first] = states;
      const agree = states.every(
        ({ leaderId, term }) => leaderId === first?.leaderId && term === first.term,
      );
      const leaderId = first?.leaderId ?? null;
      return agree && ready.every(Boolean) && leaderId !== null ? this.node(leaderId) : null;
    });
  }

  /** Waits until all nodes that run have applied the same index, and holds their states to be equal. */
  async assertSameState(within = formationMs): Promise<void> {
    const states = await until("all nodes have applied the same index", within, async () => {
      const asked = await Promise.all(this.running.map((node) => node.status()));
      const indexes = new Set(asked.map(({ appliedIndex }) => appliedIndex));
      if (indexes.size !== 1) throw new Error(`applied: ${[...indexes].join(", ")}`);
      return asked;
    });
    const hashes = new Set(states.map(({ stateHash }) => stateHash));
    assert.is(hashes.size, 1, `state hashes differ at one index: ${[...hashes].join(", ")}`);
  }
}
