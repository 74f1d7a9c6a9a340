/** A connection that is asked by promises: for benchmarks that fill a cluster, or ask at their own pace. */

import { Buffer } from "node:buffer";
import { BenchConnection } from "../../cmd/bench/connection.ts";

export class HttpConnection {
  readonly #connection: BenchConnection;
  #settle: { resolve: (status: number) => void; reject: (error: Error) => void } | null = null;

  private constructor(port: number, opened: () => void) {
    this.#connection = new BenchConnection(
      { host: "127.0.0.1", port },
      {
        opened,
        answered: ({ status }) => this.#settle?.resolve(status),
        closed: () => this.#settle?.reject(new Error("the connection broke")),
      },
    );
  }

  static open(port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const connection = new HttpConnection(port, () => resolve(connection));
      connection.#settle = { resolve: () => {}, reject };
    });
  }

  /** Sends a PUT and resolves with the status of its answer. One at a time. */
  put(key: string, value: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#connection.put(`/v1/kv/${key}`, Buffer.from(value, "latin1"));
    });
  }

  close(): void {
    this.#connection.close();
  }
}
