/**
 * Clients that put, get and delete a few keys at random nodes while these fail, and write into a ledger:
 * keys that are written once, so that at the end nothing acknowledged may be missing.
 */

import { Agent } from "node:http";
import { type Cluster, type ClusterNode, keyPath } from "../e2e/cluster.ts";
import { type Answer, ask, NoAnswer } from "../e2e/http.ts";
import { pause, until } from "../e2e/wait.ts";
import { Random } from "../raft/random.ts";
import { HistoryRecorder } from "../linearizability/history.ts";
import type { RegisterInput, RegisterOutput } from "../linearizability/models.ts";

export interface ClientOptions {
  readonly seed: number;
  readonly clients?: number;
  readonly slots?: number;
}

/**
 * Of one request, by client. Most give up long before the node does: whoever waits at a node that is
 * cut off sees nothing of what it answers wrongly.
 */
const requestsMs = [400, 400, 1_500, 6_000] as const;
/** Of a client's requests for the keys, by client: some mostly read, and see what others write. */
const readShares = [0.9, 0.5, 0.1] as const;
/** Between two requests of a client. */
const pauseMs = 3;
/**
 * A slot goes on to a new key after so many writes of unknown outcome, each of which stays open for
 * ever and doubles what the checker has to look at, or after so many operations.
 */
const unknownMax = 12;
const operationsMax = 300;
/** One in so many operations goes into the ledger. */
const ledgerEvery = 5;
const ledgerPrefix = "ledger/";
const violationsMax = 20;

interface Slot {
  key: string;
  operations: number;
  unknown: number;
  generation: number;
}

interface Outcome {
  readonly kind: "done" | "failed" | "unknown";
  readonly answer: Answer | null;
}

export class Clients {
  readonly history = new HistoryRecorder<RegisterInput, RegisterOutput>();
  acknowledged = 0;
  failed = 0;
  unknown = 0;
  read = 0;
  readonly #violations: string[] = [];
  readonly #cluster: Cluster;
  readonly #slots: Slot[];
  readonly #keys: string[] = [];
  /** The revision of every acknowledged ledger key. */
  readonly #ledger = new Map<string, number>();
  readonly #running: Promise<void>[];
  #stopped = false;

  private constructor(cluster: Cluster, options: ClientOptions) {
    const { seed, clients = 12, slots = 2 } = options;
    this.#cluster = cluster;
    this.#slots = Array.from({ length: slots }, (_, slot) => {
      const key = `key/${slot}/0`;
      this.#keys.push(key);
      return { key, operations: 0, unknown: 0, generation: 0 };
    });
    this.#running = Array.from({ length: clients }, (_, client) =>
      this.#run(client, new Random(seed + client)),
    );
  }

  static start(cluster: Cluster, options: ClientOptions): Clients {
    return new Clients(cluster, options);
  }

  get violations(): readonly string[] {
    return this.#violations;
  }

  async progresses(writes: number, within: number): Promise<void> {
    const goal = this.acknowledged + writes;
    await until(`${writes} more writes acknowledged`, within, () => this.acknowledged >= goal);
  }

  /** Waits for the answers that are still out. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** After `stop`, with all nodes well: reads every key from every node, and the whole ledger. */
  async readAll(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const client = this.#running.length + node.id;
      for (const key of this.#keys) {
        await until(`a read of ${key} on node ${node.id}`, 10_000, () =>
          this.#read({ client, node, key, agent, timeoutMs: requestsMs[3] }),
        );
      }
      await this.#readLedger(node, agent);
      agent.destroy();
    }
  }

  summary(): string {
    const { acknowledged, failed, unknown, read } = this;
    return (
      `${acknowledged} writes acknowledged (${this.#ledger.size} in the ledger), ${failed} refused, ` +
      `${unknown} unknown, ${read} reads, ${this.#keys.length} keys`
    );
  }

  async #run(client: number, random: Random): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    const timeoutMs = requestsMs[client % requestsMs.length] ?? requestsMs[0];
    const reads = readShares[client % readShares.length] ?? 0;
    for (let turn = 0; !this.#stopped; turn++) {
      const node = random.pick(this.#cluster.nodes);
      const at = { client, node, agent, timeoutMs };
      const slot = random.pick(this.#slots);
      const choice = random.float();
      if (turn % ledgerEvery === 0) await this.#enter(`${ledgerPrefix}${client}/${turn}`, at);
      else if (choice < reads) await this.#read({ ...at, key: slot.key });
      else if (choice < 0.95) {
        await this.#write(slot, { kind: "put", value: `${client}.${turn}` }, at);
      } else await this.#write(slot, { kind: "delete" }, at);
      this.#renew(slot);
      await pause(pauseMs);
    }
    agent.destroy();
  }

  #renew(slot: Slot): void {
    if (slot.unknown < unknownMax && slot.operations < operationsMax) return;
    slot.generation++;
    slot.key = slot.key.replace(/\d+$/, String(slot.generation));
    slot.operations = slot.unknown = 0;
    this.#keys.push(slot.key);
  }

  /** Whether it was answered. */
  async #read(options: At & { key: string }): Promise<boolean> {
    const { client, key } = options;
    const call = this.history.begin(client, key, { kind: "get" }, performance.now());
    const { answer } = await this.#ask("GET", key, options);
    if (answer?.status !== 200 && answer?.status !== 404) {
      // A read that was not answered changed nothing and says nothing.
      this.history.failed(call);
      return false;
    }
    const row =
      answer.status === 404
        ? null
        : { value: answer.text, revision: Number(answer.headers["x-kv-revision"]) };
    this.history.end(call, { kind: "get", row }, performance.now());
    this.read++;
    return true;
  }

  async #write(slot: Slot, input: RegisterInput, at: At): Promise<void> {
    const { key } = slot;
    slot.operations++;
    const call = this.history.begin(at.client, key, input, performance.now());
    const { kind, answer } =
      input.kind === "put"
        ? await this.#ask("PUT", key, { ...at, body: input.value })
        : await this.#ask("DELETE", key, at);
    this.#count(kind);
    if (kind === "failed") this.history.failed(call);
    else if (kind === "unknown" || answer === null) {
      this.history.unknown(call);
      if (slot.key === key) slot.unknown++;
    } else this.history.end(call, outputOf(input, answer), performance.now());
  }

  #count(kind: Outcome["kind"]): void {
    if (kind === "done") this.acknowledged++;
    else if (kind === "failed") this.failed++;
    else this.unknown++;
  }

  async #enter(key: string, at: At): Promise<void> {
    const { kind, answer } = await this.#ask("PUT", key, { ...at, body: key });
    this.#count(kind);
    if (answer !== null && kind === "done") {
      this.#ledger.set(key, answer.json()["revision"] as number);
    }
  }

  async #ask(
    method: string,
    key: string,
    { node, agent, timeoutMs, body }: At & { body?: string | undefined },
  ): Promise<Outcome> {
    let answer: Answer;
    try {
      const question = { agent, timeoutMs, ...(body === undefined ? {} : { body }) };
      answer = await ask(node.httpPort, method, keyPath(key), question);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return { kind: error.neverSent ? "failed" : "unknown", answer: null };
    }
    const { status } = answer;
    if (status === 200 || status === 201) return { kind: "done", answer };
    const told = `node ${node.id} answered ${method} ${key} with ${status} ${answer.text}`;
    if (method === "GET") {
      if (![404, 429, 503, 504].includes(status)) this.#violation(told);
      return { kind: "failed", answer };
    }
    const { outcome } = answer.json();
    const expected = status === 504 ? "unknown" : "not_applied";
    if (![429, 503, 504, 507].includes(status) || outcome !== expected) this.#violation(told);
    return { kind: outcome === "not_applied" ? "failed" : "unknown", answer };
  }

  async #readLedger(node: ClusterNode, agent: Agent): Promise<void> {
    const found = new Map<string, number>();
    let cursor: string | undefined;
    do {
      const after = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const path = `/v1/kv?prefix=${ledgerPrefix}&limit=5000&keys${after}`;
      const answer = await until(`a page of the ledger on node ${node.id}`, 10_000, async () => {
        const tried = await ask(node.httpPort, "GET", path, { agent });
        if (tried.status !== 200) throw new Error(`${tried.status} ${tried.text}`);
        return tried;
      });
      const page = answer.json() as { rows: { key: string; revision: number }[]; cursor?: string };
      for (const { key, revision } of page.rows) found.set(key, revision);
      ({ cursor } = page);
    } while (cursor !== undefined);
    for (const [key, revision] of this.#ledger) {
      if (found.get(key) === revision) continue;
      const there = found.get(key) ?? "nothing";
      this.#violation(`node ${node.id} has ${there} of ${key}, acknowledged at ${revision}`);
    }
  }

  #violation(text: string): void {
    if (this.#violations.length < violationsMax) this.#violations.push(text);
  }
}

function outputOf(input: RegisterInput, answer: Answer): RegisterOutput {
  const body = answer.json() as { revision: number; deleted: 0 | 1 };
  const { revision, deleted } = body;
  return input.kind === "put"
    ? { kind: "put", revision, created: answer.status === 201 }
    : { kind: "delete", revision, deleted };
}

interface At {
  readonly client: number;
  readonly node: ClusterNode;
  readonly agent: Agent;
  readonly timeoutMs: number;
}
