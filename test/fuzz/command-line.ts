/** Words and environment from anybody: wrong use is one clear line and exit code 2, never a stack trace. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { LiteralArguments, UsageError, type KnownFlags } from "../../cmd/arguments.ts";
import { nodeConfig, nodeFlags, type NodeFlag, type NodeFlagValues } from "../../cmd/config.ts";
import { lastWords } from "../../cmd/last-words.ts";
import { type Runtime, runtimeCommand, runtimes } from "../harness/run-file.ts";
import type { Tape } from "./tape.ts";

const values = [
  "1",
  "0",
  "01",
  "1e3",
  "-1",
  "",
  " ",
  "4294967296",
  "127.0.0.1:0",
  "127.0.0.1:1",
  "[::1]:2",
  "[::::]:2",
  "0.0.0.0:1",
  "host:65536",
  "1=a:1/b:2",
  "1=a:1/b:2,1=a:3/b:4",
  "1=127.0.0.1:1/127.0.0.1:2,2=127.0.0.1:3/127.0.0.1:4",
  "debug",
  "json",
  "a\nb",
  "\x1b[2J",
  "\x07",
  "\u202e",
  "\ud800",
  "--nodeid",
  "-o",
  "--",
  "=",
  "__proto__",
  "x".repeat(5_000),
  "/nonexistent/secret",
  "/",
] as const;

const names = Object.keys(nodeFlags) as NodeFlag[];

// oxlint-disable-next-line no-control-regex
const control = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]/;

/** One line for a person, however strange the word that it repeats. */
function assertUsageLine(error: unknown): void {
  if (!(error instanceof UsageError)) throw error;
  const { line, code } = lastWords(error);
  assert.is(code, 2);
  assert.ok(!control.test(line), `a control character in ${JSON.stringify(line.slice(0, 200))}`);
  assert.ok(line.startsWith("kv: ") && line.length > 15, line);
}

/** The checks of flags and environment, without a process. */
export function checkConfig(tape: Tape): void {
  const flags: NodeFlagValues = {};
  const environment: Record<string, string> = {};
  for (let count = tape.below(5); count > 0; count--) {
    const name = tape.pick(names);
    if (tape.once(3))
      environment[`KV_${name.replaceAll("-", "_").toUpperCase()}`] = tape.pick(values);
    else flags[name] = tape.pick(values);
  }
  if (tape.once(4)) environment["KV_SECRET"] = tape.pick(values);
  try {
    const config = nodeConfig(flags, { prompt: false, bootstrap: false, environment });
    assert.ok(config.plan.some((member) => member.id === config.nodeId));
    for (const { port } of [config.raftListen, config.httpListen]) {
      assert.ok(Number.isInteger(port) && port > 0 && port < 65_536, `port ${port}`);
    }
  } catch (error) {
    assertUsageLine(error);
  }
}

const flags: KnownFlags = {
  values: new Set(names),
  bare: new Set(["no-repl"]),
  short: new Map([["o", "data-dir"]]),
};

/** Every word comes back as it was typed. */
export function checkArguments(tape: Tape): void {
  const words = drawWords(tape);
  try {
    const literal = new LiteralArguments(words, flags);
    const back = literal.argv.map((word) => literal.text(word.replace(/^--[a-z-]+=(?=\0)/, "")));
    for (const word of back) {
      const isThere = words.some((typed) => typed === word || typed.endsWith(`=${word}`));
      assert.ok(isThere, `${JSON.stringify(word)} was not typed`);
    }
    for (const word of words) literal.typedFlag(word);
  } catch (error) {
    assertUsageLine(error);
  }
}

function drawWords(tape: Tape): string[] {
  return Array.from({ length: tape.below(6) }, () => {
    const value = tape.pick(values);
    switch (tape.below(6)) {
      case 0:
        return `--${tape.pick(names)}`;
      case 1:
        return `--${tape.pick(names)}=${value}`;
      case 2:
        return tape.pick([
          ...["put", "get", "list", "status", "del", "cluster", "nonsense", "lock", "acquire"],
          ...["lease", "grant", "election", "campaign", "--", "true"],
        ]);
      case 3:
        return tape.pick([
          "--help",
          "-h",
          "--version",
          "--nope",
          "-x",
          "--no-repl",
          "--output",
          "-",
        ]);
      default:
        return value;
    }
  });
}

const program = fileURLToPath(new URL("../../cmd/kv.ts", import.meta.url));
const deadlineMs = 30_000;

function currentRuntime(): Runtime {
  const found = runtimes.find((name) => name !== "node" && process.versions[name] !== undefined);
  return found ?? "node";
}

/** No node can start with it, and no server is asked beyond this machine. */
const harmless = { KV_CLUSTER: "none", KV_ENDPOINTS: "http://127.0.0.1:1" };

/** The program itself, in a process of its own. */
export async function checkProcess(tape: Tape): Promise<void> {
  // What no process can be given: NUL, and halves of characters.
  const words = drawWords(tape).filter((word) => !/^--(?:cluster|endpoints)/.test(word));
  const [runtime, ...options] = runtimeCommand(currentRuntime());
  const args = [...options, program, ...words.map((word) => word.toWellFormed())];
  const { code, errors } = await run(runtime, args);
  const what = `${JSON.stringify(words).slice(0, 300)}: ${code}, ${JSON.stringify(errors.slice(0, 300))}`;
  assert.ok([0, 2, 3].includes(code ?? -1), what);
  if (code === 0) return;
  assert.ok(errors.endsWith("\n") && !control.test(errors.slice(0, -1)), `one line: ${what}`);
  assert.ok(!errors.includes("a bug"), what);
}

function run(
  file: string,
  args: readonly string[],
): Promise<{ code: number | null; errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...harmless, NO_COLOR: "1" },
      timeout: deadlineMs,
      killSignal: "SIGKILL",
    });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, errors }));
  });
}
