/** Runs one test file on one runtime in a process group of its own, which ends with it. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Ending, judge, type Outcome } from "./report.ts";

export const runtimes = ["node", "bun", "deno"] as const;
export type Runtime = (typeof runtimes)[number];

/** The end of what a file printed is kept, for the case that it fails. */
const outputCharactersMax = 100_000;

const worker = fileURLToPath(new URL("worker.ts", import.meta.url));
const modules = fileURLToPath(new URL("../../node_modules/", import.meta.url));
const binaries = join(modules, ".bin");
/** What Node.js made of the source, types stripped, is kept from file to file: half of a short file's time. */
const compileCache = join(modules, ".cache", "node-compile");
const running = new Set<number>();

export interface FileRun extends Outcome {
  durationMs: number;
  /** Both output streams, as far as they are kept. */
  output: string;
}

export interface FileOptions {
  runtime: Runtime;
  timeoutMs: number;
  /** Variables besides those of this process. */
  environment?: Readonly<Record<string, string>>;
}

/** The program and its first arguments, to which a script and its arguments are added. */
export function runtimeCommand(runtime: Runtime): [program: string, ...args: string[]] {
  const program = join(binaries, runtime);
  return runtime === "deno" ? [program, "run", "-A", "--no-lock"] : [program];
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group is gone already: the usual case.
  }
}

/** Ends what is still running; for a harness that is itself being ended. */
export function killAll(): void {
  for (const pid of running) killGroup(pid);
}

function launch(
  command: string[],
  { runtime, timeoutMs, environment }: FileOptions,
): Promise<{ ending: Ending; output: string }> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NO_COLOR: "1",
      DENO_NO_UPDATE_CHECK: "1",
      ...environment,
      ...(runtime === "node" ? { NODE_COMPILE_CACHE: compileCache } : {}),
    },
  });
  const pid = child.pid;
  if (pid !== undefined) running.add(pid);
  let output = "";
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-outputCharactersMax);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  return new Promise((resolve) => {
    let timedOut = false;
    const deadline = setTimeout(() => {
      timedOut = true;
      if (pid !== undefined) killGroup(pid);
    }, timeoutMs);
    // Left-over children would hold the pipes open, so the group ends when its first process does.
    child.on("exit", () => pid !== undefined && killGroup(pid));
    child.on("error", (error) => {
      output += String(error);
    });
    child.on("close", (exitCode, signal) => {
      clearTimeout(deadline);
      if (pid !== undefined) running.delete(pid);
      const ending: Ending = { exitCode, signal };
      if (timedOut) ending.timedOutAfterMs = timeoutMs;
      resolve({ ending, output });
    });
  });
}

/** Never rejects: whatever goes wrong is a failure in the outcome. */
export async function runFile(path: string, options: FileOptions): Promise<FileRun> {
  const directory = mkdtempSync(join(tmpdir(), "kv-test-"));
  const report = join(directory, "file.report");
  const started = performance.now();
  const command = [...runtimeCommand(options.runtime), worker, pathToFileURL(path).href, report];
  const { ending, output } = await launch(command, options);
  const durationMs = performance.now() - started;
  let reportText = "";
  try {
    reportText = readFileSync(report, "utf8");
  } catch {
    // A worker that could not even start leaves none; the verdict says so.
  }
  rmSync(directory, { recursive: true, force: true });
  return { ...judge(reportText, ending), durationMs, output };
}
