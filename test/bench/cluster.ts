/** Real nodes for the benchmarks: three processes of the executable on free ports, in one directory. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** `KV_EXECUTABLE`: another build, to compare this one with. */
export const kvExecutable =
  process.env["KV_EXECUTABLE"] ?? join(dirname(fileURLToPath(import.meta.url)), "..", "..", "kv");

export interface Running {
  readonly id: number;
  readonly httpPort: number;
  process: ChildProcess;
}

interface BenchStatus {
  readonly leaderId: number | null;
  readonly appliedIndex: number;
  readonly snapshotIndex: number;
  readonly firstLogIndex: number;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return address.port;
}

export class BenchCluster {
  /** On the disk that is measured: in the current directory, not in a temporary one in memory. */
  readonly directory = mkdtempSync(join(process.cwd(), "kv-data-bench-"));
  readonly nodes: Running[] = [];
  readonly #flags: readonly string[];
  #spec = "";

  private constructor(flags: readonly string[]) {
    this.#flags = flags;
  }

  static async start(count: number, flags: readonly string[] = []): Promise<BenchCluster> {
    const cluster = new BenchCluster(flags);
    const members: { id: number; raft: number; http: number }[] = [];
    for (let id = 1; id <= count; id++) {
      members.push({ id, raft: await freePort(), http: await freePort() });
    }
    cluster.#spec = members
      .map(({ id, raft, http }) => `${id}=127.0.0.1:${raft}/127.0.0.1:${http}`)
      .join(",");
    for (const { id, http } of members) {
      cluster.nodes.push({ id, httpPort: http, process: cluster.#spawn(id) });
    }
    process.once("exit", () => cluster.#kill());
    return cluster;
  }

  async kill(node: Running): Promise<void> {
    node.process.kill("SIGKILL");
    await once(node.process, "exit");
  }

  start(node: Running): void {
    node.process = this.#spawn(node.id);
  }

  /** kill -9, and start again. */
  async restart(node: Running): Promise<void> {
    await this.kill(node);
    this.start(node);
  }

  /** Polls until `condition` gives a value. */
  async until<T>(condition: () => Promise<T | null>, limitMs: number): Promise<T> {
    const end = performance.now() + limitMs;
    for (;;) {
      const value = await condition().catch(() => null);
      if (value !== null) return value;
      if (performance.now() > end) throw new Error(`not within ${limitMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async status(node: Running): Promise<BenchStatus> {
    const response = await fetch(`http://127.0.0.1:${node.httpPort}/v1/status`);
    return (await response.json()) as BenchStatus;
  }

  leader(): Promise<Running> {
    return this.until(async () => {
      for (const node of this.nodes) {
        const { leaderId } = await this.status(node);
        const leader = this.nodes.find(({ id }) => id === leaderId);
        if (leader) return leader;
      }
      return null;
    }, 15_000);
  }

  /** Resident memory in MB, as the kernel counts it. */
  rssMb(node: Running): number {
    const text = readFileSync(`/proc/${node.process.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024;
  }

  end(): void {
    this.#kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #spawn(id: number): ChildProcess {
    const words = ["--nodeid", String(id), "--no-repl", "--log-level", "warn"];
    const where = ["--data-dir", this.directory, "--cluster", this.#spec];
    return spawn(kvExecutable, [...words, ...where, ...this.#flags], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }

  #kill(): void {
    for (const { process: child } of this.nodes) child.kill("SIGKILL");
  }
}
