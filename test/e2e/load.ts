/**
 * Clients that write and read while nodes are killed, and remember outside of the cluster what they
 * were told. Each key has a single writer, which uses it no more once the fate of a write to it is
 * unknown; so at every moment it is known which values a read may give.
 */

import { Agent } from "node:http";
import * as assert from "uvu/assert";
import { type Cluster, type ClusterNode, keyPath } from "./cluster.ts";
import { type Answer, ask, NoAnswer } from "./http.ts";
import { pause, until } from "./wait.ts";

export interface LoadOptions {
  readonly clients?: number;
  readonly keysPerClient?: number;
  /** Between two requests of a client. */
  readonly pauseMs?: number;
}

interface Acknowledged {
  readonly value: string;
  readonly revision: number;
}

/** What is known of one key. `unknown`: the value of a last write that may or may not have happened. */
interface Register {
  readonly key: string;
  acknowledged: Acknowledged | null;
  unknown: string | null;
}

/** Violations that are kept; one is enough to fail. */
const violationsMax = 20;

export class Load {
  acknowledged = 0;
  notApplied = 0;
  unknown = 0;
  /** Reads that gave a value, or rightly none. */
  read = 0;
  readonly #violations: string[] = [];
  readonly #cluster: Cluster;
  readonly #registers: Register[] = [];
  readonly #clients: Promise<void>[];
  #stopped = false;

  private constructor(cluster: Cluster, options: LoadOptions) {
    const { clients = 4, keysPerClient = 16, pauseMs = 4 } = options;
    this.#cluster = cluster;
    this.#clients = Array.from({ length: clients }, (_, client) =>
      this.#run(client, keysPerClient, pauseMs),
    );
  }

  static start(cluster: Cluster, options: LoadOptions = {}): Load {
    return new Load(cluster, options);
  }

  /** Waits until so many more writes are acknowledged: the cluster serves. */
  async progresses(writes: number, within: number): Promise<void> {
    const goal = this.acknowledged + writes;
    await until(`${writes} more writes acknowledged`, within, () => this.acknowledged >= goal);
    this.assertClean();
  }

  /** Waits for the answers that are still out. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  /** No read and no answer so far contradicted what was known. */
  assertClean(): void {
    assert.equal(this.#violations, []);
  }

  /** After `stop`: every node gives for every key what its acknowledged writes allow. */
  async verify(): Promise<void> {
    for (const node of this.#cluster.running) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (const register of this.#registers) {
        await until(`a read of ${register.key} on node ${node.id}`, 10_000, async () => {
          const answer = await ask(node.httpPort, "GET", keyPath(register.key), { agent });
          return this.#judge(register, answer, node);
        });
      }
      agent.destroy();
    }
    this.assertClean();
    assert.ok(this.acknowledged > 0, "the load wrote something");
  }

  summary(): string {
    const { acknowledged, notApplied, unknown, read } = this;
    return `${acknowledged} writes acknowledged, ${notApplied} refused, ${unknown} unknown, ${read} reads`;
  }

  async #run(client: number, keys: number, pauseMs: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const current: Register[] = [];
    for (let turn = 0; !this.#stopped; turn++) {
      let register = current[turn % keys];
      if (register === undefined || register.unknown !== null) {
        register = { key: `load/${client}/${turn}`, acknowledged: null, unknown: null };
        current[turn % keys] = register;
        this.#registers.push(register);
      }
      await this.#read(register, this.#pick(client + turn), agent);
      await this.#write(register, `${client}.${turn}`, this.#pick(client + turn + 1), agent);
      await pause(pauseMs);
    }
    agent.destroy();
  }

  /** Any node, also one that does not run: its clients notice for themselves. */
  #pick(turn: number): ClusterNode {
    const { nodes } = this.#cluster;
    const node = nodes[turn % nodes.length];
    assert.ok(node, "a cluster has nodes");
    return node;
  }

  async #read(register: Register, node: ClusterNode, agent: Agent): Promise<void> {
    try {
      const answer = await ask(node.httpPort, "GET", keyPath(register.key), { agent });
      this.#judge(register, answer, node);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
  }

  /** Whether the answer told what the key holds. */
  #judge(register: Register, answer: Answer, node: ClusterNode): boolean {
    const { key, acknowledged, unknown } = register;
    const told = `node ${node.id} answered GET ${key} with ${answer.status} ${answer.text}`;
    const known = `acknowledged: ${JSON.stringify(acknowledged)}, unknown: ${unknown}`;
    if (answer.status === 404) {
      if (acknowledged !== null) this.#violation(`${told}; ${known}`);
    } else if (answer.status === 200) {
      const isAcknowledged = answer.text === acknowledged?.value;
      const revision = Number(answer.headers["x-kv-revision"]);
      if (!isAcknowledged && answer.text !== unknown) this.#violation(`${told}; ${known}`);
      if (isAcknowledged && revision !== acknowledged.revision) {
        this.#violation(`${told} at revision ${revision}; ${known}`);
      }
    } else {
      if (![429, 503, 504].includes(answer.status)) this.#violation(told);
      return false;
    }
    this.read++;
    return true;
  }

  async #write(register: Register, value: string, node: ClusterNode, agent: Agent): Promise<void> {
    let answer: Answer;
    try {
      answer = await ask(node.httpPort, "PUT", keyPath(register.key), { agent, body: value });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      if (error.neverSent) this.notApplied++;
      else this.#doubt(register, value);
      return;
    }
    if (answer.status === 200 || answer.status === 201) {
      this.#acknowledge(register, value, answer);
      return;
    }
    const { outcome } = answer.json();
    if (answer.status === 504 && outcome === "unknown") this.#doubt(register, value);
    else if ([429, 503].includes(answer.status) && outcome === "not_applied") this.notApplied++;
    else {
      this.#violation(`node ${node.id} answered a PUT with ${answer.status} ${answer.text}`);
      this.#doubt(register, value);
    }
  }

  #acknowledge(register: Register, value: string, answer: Answer): void {
    const revision = Number(answer.json()["revision"]);
    const before = register.acknowledged;
    const told = `PUT ${register.key} was answered with ${answer.status}, revision ${revision}`;
    if (answer.status !== (before === null ? 201 : 200)) {
      this.#violation(`${told}; before: ${JSON.stringify(before)}`);
    }
    if (!(revision > (before?.revision ?? 0))) {
      this.#violation(`${told}; before: ${JSON.stringify(before)}`);
    }
    register.acknowledged = { value, revision };
    this.acknowledged++;
  }

  #doubt(register: Register, value: string): void {
    register.unknown = value;
    this.unknown++;
  }

  #violation(text: string): void {
    if (this.#violations.length < violationsMax) this.#violations.push(text);
  }
}
