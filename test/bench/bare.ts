/** Three bare nodes: what messages and syncs alone take over the same runtime, disk and sockets. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { HttpWords } from "./http-words.ts";
import type { Part, Subject } from "./subject.ts";

const program = fileURLToPath(new URL("bare-node.ts", import.meta.url));

export class BareCluster {
  readonly port: number;
  readonly #processes: readonly ChildProcess[];

  private constructor(port: number, processes: readonly ChildProcess[]) {
    this.port = port;
    this.#processes = processes;
  }

  /** In a directory that is there; they end with this process. */
  static async start(directory: string): Promise<BareCluster> {
    const processes: ChildProcess[] = [];
    const start = async (name: string, others: readonly string[]): Promise<string> => {
      const words = ["--smol", program, join(directory, name), ...others];
      const node = spawn("bun", words, { stdio: ["ignore", "pipe", "inherit"] });
      processes.push(node);
      process.once("exit", () => node.kill("SIGKILL"));
      const ended = once(node, "exit").then(() => {
        throw new Error(`the bare node ${name} ended`);
      });
      const [port] = await Promise.race([once(node.stdout, "data"), ended]);
      return String(port).trim();
    };
    const followers = await Promise.all([start("bare-2", []), start("bare-3", [])]);
    return new BareCluster(Number(await start("bare-1", followers)), processes);
  }

  get processIds(): readonly number[] {
    return this.#processes.map(({ pid = 0 }) => pid);
  }
}

/** As the comparison asks them: the leader, with values of the one size that they know. */
export class BareSubject implements Subject {
  readonly name = "bare";
  readonly #cluster: BareCluster;
  readonly #words: HttpWords;

  constructor(cluster: BareCluster, words: HttpWords) {
    this.#cluster = cluster;
    this.#words = words;
  }

  get processIds(): readonly number[] {
    return this.#cluster.processIds;
  }

  async port(): Promise<number> {
    return this.#cluster.port;
  }

  async fill(): Promise<void> {}

  arguments(part: Part): string[] {
    return this.#words.of(part);
  }

  async writeCount(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#cluster.port}/count`);
    return Number(await response.text());
  }

  async tidy(): Promise<void> {}
}
