/** Writes and reads through the client that tries again: whatever fails for it is told. */

import * as assert from "uvu/assert";
import { HttpClient } from "../../server/http-client.ts";
import type { Cluster } from "./cluster.ts";
import { pause } from "./wait.ts";

export interface RetryingLoadOptions {
  readonly clients?: number;
  /** Between two rounds of a client: a write, and a read of what it wrote. */
  readonly pauseMs?: number;
}

const keysPerClient = 50;
/** Failures that are kept; one is enough to fail. */
const failuresMax = 20;

export class RetryingLoad {
  writes = 0;
  failed = 0;
  /** Writes whose connection broke before the answer, put again. */
  repeated = 0;
  /** The longest that a write or read took, tries and all. */
  slowestMs = 0;
  readonly #failures: string[] = [];
  readonly #acknowledged = new Map<string, string>();
  readonly #clients: Promise<void>[];
  readonly #cluster: Cluster;
  #isOver = false;

  constructor(cluster: Cluster, { clients = 6, pauseMs = 10 }: RetryingLoadOptions = {}) {
    this.#cluster = cluster;
    const endpoints = cluster.nodes.map(({ httpPort }) => `http://127.0.0.1:${httpPort}`);
    this.#clients = Array.from({ length: clients }, (_, number) => {
      const start = number % endpoints.length;
      const own = [...endpoints.slice(start), ...endpoints.slice(0, start)];
      return this.#run(number, own, pauseMs);
    });
  }

  /** Waits for the answers that are still out. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  /** After `stop`: no request has failed, and every node has what was acknowledged last. */
  async verify(): Promise<void> {
    assert.equal(this.#failures, []);
    assert.ok(this.writes > 0, "the load wrote something");
    for (const node of this.#cluster.running) {
      for (const [key, value] of this.#acknowledged) {
        assert.is((await node.get(key)).text, value, `${key} on node ${node.id}`);
      }
    }
  }

  async #run(number: number, endpoints: readonly string[], pauseMs: number): Promise<void> {
    const store = new HttpClient([...endpoints]);
    for (let turn = 0; !this.#isOver; turn++) {
      const key = `c${number}/${turn % keysPerClient}`;
      const value = `${turn}`;
      const put = await this.#timed(this.#put(store, key, new TextEncoder().encode(value)));
      if (put.ok) this.#acknowledged.set(key, value);
      else this.#fails(`put: ${put.code} ${put.outcome} ${put.detail}`);
      const got = await this.#timed(store.get(key));
      if (!got.ok) this.#fails(`get: ${got.code} ${got.detail}`);
      else if (put.ok && new TextDecoder().decode(got.row?.value) !== value) {
        this.#fails(`${key} was not ${value}`);
      }
      this.writes++;
      await pause(pauseMs);
    }
    store.close();
  }

  /**
   * A connection that breaks under a request, as one does that was idle when its node closed it, leaves
   * open what became of it. Nobody else writes the key, so putting the same again is safe, as RFC 9110
   * §9.2.2 says of this method.
   */
  async #put(store: HttpClient, key: string, value: Uint8Array): ReturnType<HttpClient["put"]> {
    const first = await store.put(key, value);
    if (first.ok || first.outcome !== "unknown") return first;
    this.repeated++;
    return store.put(key, value);
  }

  async #timed<T>(request: Promise<T>): Promise<T> {
    const startMs = performance.now();
    const answer = await request;
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs);
    return answer;
  }

  #fails(text: string): void {
    this.failed++;
    if (this.#failures.length < failuresMax) this.#failures.push(text);
  }
}
