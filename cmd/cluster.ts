/** `kv cluster`: every node of the cluster on this machine, each in a process of its own, with one prompt. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { HttpClient } from "../server/http-client.ts";
import type { NodeId } from "../server/raft/entry.ts";
import { runPipe, runTerminal, type TerminalSession } from "../repl/repl.ts";
import { defaultDataDir, nodeConfig, type NodeFlag, type NodeFlagValues } from "./config.ts";
import { builtInCluster, parseCluster } from "./config.ts";
import { exitCodes, StartError } from "./exit.ts";
import { lifelineVariable, shutdownSignals, standardInput } from "./input.ts";
import { tell } from "./output.ts";
import { systemClock } from "./system.ts";

interface ClusterOptions {
  readonly flags: NodeFlagValues;
  readonly prompt: boolean;
}

interface Child {
  readonly id: NodeId;
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
}

/** How long the nodes may take to end by themselves before they are killed. */
const endGraceMs = 4_000;
/** How long the lines of a pipe wait for the cluster; without one they are run and say so. */
const leaderWaitMs = 30_000;
const leaderPollMs = 50;

export async function runCluster({ flags, prompt }: ClusterOptions): Promise<void> {
  const spec = flags.cluster ?? process.env["KV_CLUSTER"] ?? builtInCluster;
  const plan = parseCluster({ text: spec, from: "--cluster" });
  // Wrong flags are found here once, and not by every child for itself.
  for (const { id } of plan) {
    nodeConfig(
      { ...flags, nodeid: String(id) },
      { prompt, bootstrap: false, environment: process.env },
    );
  }
  const cluster = new LocalCluster();
  for (const { id } of plan) cluster.start(id, flags);
  const store = new HttpClient(plan.map(({ http }) => `http://${http}`));
  const ending = new Promise<"signal">((resolve) => {
    for (const signal of shutdownSignals) process.on(signal, () => resolve("signal"));
  });
  const failed = cluster.firstFailure();
  const left = runPrompt({ store, cluster, prompt, dataDir: flags["data-dir"] });
  const why = await Promise.race([ending, failed, left]);
  await cluster.end();
  if (typeof why === "object") throw new StartError(why.message, why.code);
  process.exit(exitCodes.done);
}

/** Resolves when the person leaves; never, where nobody types. */
async function runPrompt(options: {
  store: HttpClient;
  cluster: LocalCluster;
  prompt: boolean;
  dataDir: string | undefined;
}): Promise<"exit"> {
  const { store, cluster, prompt, dataDir } = options;
  const input = standardInput();
  const talk = {
    store,
    input: process.stdin,
    output: process.stdout,
    monotonicMs: () => systemClock.monotonicMs(),
  };
  if (prompt && input === "terminal") {
    const directory = dataDir ?? process.env["KV_DATA_DIR"] ?? defaultDataDir;
    const session = runTerminal({
      ...talk,
      prompt: () => "kv[cluster]> ",
      historyPath: join(directory, "history"),
    });
    cluster.showAbove(session);
    return session.ended;
  }
  if (prompt && input === "pipe") {
    // Lines are written before the nodes are up as well as after it.
    await leaderKnown(store);
    const end = await runPipe(talk);
    if (end === "exit") return "exit";
  }
  return new Promise(() => {});
}

/** Resolves when some node knows a leader, and after `leaderWaitMs` in any case. */
async function leaderKnown(store: HttpClient): Promise<void> {
  const endMs = systemClock.monotonicMs() + leaderWaitMs;
  while (systemClock.monotonicMs() < endMs) {
    const answer = await store.status();
    if (answer.ok && answer.status.leaderId !== null) return;
    await new Promise<void>((resolve) => void systemClock.after(leaderPollMs, resolve));
  }
}

class LocalCluster {
  readonly #children: Child[] = [];
  #session: TerminalSession | null = null;
  #isEnding = false;

  start(id: NodeId, flags: NodeFlagValues): void {
    const words = ["--nodeid", String(id), "--no-repl"];
    for (const name of Object.keys(flags) as NodeFlag[]) words.push(`--${name}=${flags[name]}`);
    const [program, ...before] = ownCommand();
    // The terminal's Ctrl-C is for this process; it ends the nodes in its own order.
    const child = spawn(program, [...before, ...words], {
      // Nothing is written to its input: it ends with this process, however this one ends.
      stdio: ["pipe", "ignore", "pipe"],
      env: { ...process.env, [lifelineVariable]: "stdin" },
      detached: true,
    });
    child.stdin.on("error", () => {});
    const lines = createInterface({ input: child.stderr });
    lines.on("line", (line) => this.#print(`[${id}] ${line}`));
    const ended = Promise.race([once(child, "exit"), once(child, "error")]);
    this.#children.push({ id, process: child, ended });
    // Whatever ends this process takes the nodes along.
    process.once("exit", () => child.kill("SIGKILL"));
  }

  showAbove(session: TerminalSession): void {
    this.#session = session;
  }

  /** The first node that ends although nobody asked it to. */
  firstFailure(): Promise<{ message: string; code: 1 | 4 }> {
    return new Promise((resolve) => {
      for (const { id, process: child } of this.#children) {
        child.once("error", (error) => {
          resolve({ message: `node ${id} cannot be started: ${error.message}`, code: 1 });
        });
        child.once("exit", (code, signal) => {
          if (this.#isEnding) return;
          const how = signal ? `signal ${signal}` : `exit code ${code}`;
          const fatal = code === exitCodes.refused || code === exitCodes.damaged;
          if (!fatal) {
            // A crash, or somebody's kill: the others go on, as a cluster does.
            this.#print(`node ${id} ended with ${how}; the others go on`);
            return;
          }
          const message = `node ${id} ended with ${how}; its line above says why`;
          resolve({ message, code: code === exitCodes.damaged ? 4 : 1 });
        });
      }
    });
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#session?.close();
    this.#session = null;
    for (const { process: child } of this.#children) child.kill("SIGTERM");
    const timer = systemClock.after(endGraceMs, () => {
      for (const { process: child } of this.#children) child.kill("SIGKILL");
    });
    await Promise.all(this.#children.map(({ ended }) => ended));
    timer.cancel();
  }

  #print(line: string): void {
    if (this.#session) this.#session.printAbove(line);
    else tell(line);
  }
}

/** The command that runs this program: itself where it is compiled, the runtime and script otherwise. */
function ownCommand(): [string, ...string[]] {
  const script = process.argv[1] ?? "";
  if (script.startsWith("/$bunfs/") || isCompiledByDeno()) return [process.execPath];
  if ("Deno" in globalThis) return [process.execPath, "run", "-A", script];
  return [process.execPath, script];
}

function isCompiledByDeno(): boolean {
  const deno = (globalThis as { Deno?: { build?: { standalone?: boolean } } }).Deno;
  return deno?.build?.standalone === true;
}
