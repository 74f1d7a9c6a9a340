/** Three nodes of this project, as the comparison asks them. */

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BenchCluster, kvExecutable, type Running } from "./cluster.ts";
import type { Generator } from "./h2load.ts";
import {
  keyOf,
  keyPrefix,
  type Operation,
  type Part,
  type Place,
  type Subject,
} from "./subject.ts";

/** The load under which it is looked where time and memory go; `parts`: processes of h2load. */
export const profiledLoad = { clients: 64, parts: 16, keyCount: 100_000, valueBytes: 100 };

/** Fisher-Yates: rows are not to be asked for in the order they lie in. */
function shuffled(first: number, end: number): number[] {
  const numbers = Array.from({ length: end - first }, (_, i) => first + i);
  for (let i = numbers.length - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1));
    [numbers[i], numbers[other]] = [numbers[other] ?? 0, numbers[i] ?? 0];
  }
  return numbers;
}

export class OwnCluster implements Subject {
  readonly name = "kv";
  readonly #cluster: BenchCluster;
  /** For what `h2load` reads. */
  readonly #scratch: string;
  readonly #written = new Set<string>();

  private constructor(cluster: BenchCluster, scratch: string) {
    this.#cluster = cluster;
    this.#scratch = scratch;
  }

  static async start(scratch: string): Promise<OwnCluster> {
    const cluster = await BenchCluster.start(3);
    await cluster.leader();
    return new OwnCluster(cluster, scratch);
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
    const keys = ["--h1", "-B", `http://127.0.0.1:${part.port}`, "-i", this.#keys(part)];
    if (part.operation === "get") return keys;
    return [...keys, "-d", this.#value(part), "-H", ":method: PUT"];
  }

  /** What `profiledLoad` asks the leader, each part with keys of its own. */
  async generators(operation: Operation): Promise<Generator[]> {
    const { clients, parts } = profiledLoad;
    const port = await this.port("leader");
    return Array.from({ length: parts }, (_, part) => ({
      clients: clients / parts,
      words: this.arguments({ ...profiledLoad, operation, port, part }),
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

  /** Each process has keys of its own: the clients of one go through its list in step. */
  #keys({ keyCount, part, parts }: Part): string {
    const first = Math.floor((keyCount * part) / parts);
    const end = Math.floor((keyCount * (part + 1)) / parts);
    return this.#once(`keys-${first}-${end}`, () =>
      shuffled(first, end)
        .map((number) => `http://127.0.0.1/v1/kv/${keyOf(number)}\n`)
        .join(""),
    );
  }

  #value({ valueBytes }: Part): string {
    return this.#once(`value-${valueBytes}`, () => "x".repeat(valueBytes));
  }

  #once(name: string, make: () => string): string {
    const path = join(this.#scratch, name);
    if (!this.#written.has(name)) writeFileSync(path, make());
    this.#written.add(name);
    return path;
  }
}
