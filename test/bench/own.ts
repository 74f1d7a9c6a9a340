/** Three nodes of this project, as the comparison asks them. */

import { spawnSync } from "node:child_process";
import { BenchCluster, kvExecutable, type Running } from "./cluster.ts";
import type { Generator } from "./h2load.ts";
import type { HttpWords } from "./http-words.ts";
import { keyPrefix, type Operation, type Part, type Place, type Subject } from "./subject.ts";

/** The load under which it is looked where time and memory go; `parts`: processes of h2load. */
export const profiledLoad = { clients: 64, parts: 16, keyCount: 100_000, valueBytes: 100 };
export type Load = typeof profiledLoad;

export class OwnCluster implements Subject {
  readonly name = "kv";
  readonly #cluster: BenchCluster;
  readonly #words: HttpWords;

  private constructor(cluster: BenchCluster, words: HttpWords) {
    this.#cluster = cluster;
    this.#words = words;
  }

  static async start(words: HttpWords): Promise<OwnCluster> {
    const cluster = await BenchCluster.start(3);
    await cluster.leader();
    return new OwnCluster(cluster, words);
  }

  /** Where its data lies. */
  get directory(): string {
    return this.#cluster.directory;
  }

  get processIds(): readonly number[] {
    return this.#cluster.nodes.map(({ process: { pid = 0 } }) => pid);
  }

  async port(place: Place): Promise<number> {
    const { httpPort } = await this.#node(place);
    return httpPort;
  }

  async processId(place: Place): Promise<number> {
    const { process } = await this.#node(place);
    return process.pid ?? 0;
  }

  async fill(keyCount: number, valueBytes: number): Promise<void> {
    const numbers = ["--keys", String(keyCount), "--size", String(valueBytes), "--duration", "0.1"];
    const endpoint = `127.0.0.1:${await this.port("leader")}`;
    const words = ["bench", "--fill", "--reads", "100", "--prefix", keyPrefix, ...numbers];
    const { status, stderr } = spawnSync(kvExecutable, [...words, "--endpoints", endpoint], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`the keys could not be written: ${stderr}`);
  }

  arguments(part: Part): string[] {
    return this.#words.of(part);
  }

  /** What a load asks the leader, each part with keys of its own. */
  async generators(operation: Operation, load: Load = profiledLoad): Promise<Generator[]> {
    const { clients, parts } = load;
    const port = await this.port("leader");
    return Array.from({ length: parts }, (_, part) => ({
      clients: clients / parts,
      words: this.arguments({ ...load, operation, port, part }),
    }));
  }

  async writeCount(): Promise<number> {
    const { appliedIndex } = await this.#cluster.status(await this.#cluster.leader());
    return appliedIndex;
  }

  async tidy(): Promise<void> {}

  end(): void {
    this.#cluster.end();
  }

  async #node(place: Place): Promise<Running> {
    const leader = await this.#cluster.leader();
    if (place === "leader") return leader;
    const follower = this.#cluster.nodes.find((node) => node !== leader);
    if (follower === undefined) throw new Error("there are followers");
    return follower;
  }
}
