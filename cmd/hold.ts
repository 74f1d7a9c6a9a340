/** `kv lock acquire NAME -- COMMAND`: holds a lock, or leads, for as long as a command runs. */

import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { connect, KvError, type Lock } from "../client/client.ts";
import type { Failure } from "../server/client-port.ts";
import { isFailureCode } from "../server/problem.ts";
import { withFlag } from "../repl/session-reply.ts";
import type { SessionQuestion } from "../repl/session-words.ts";
import { exitCodes } from "./exit.ts";
import { shutdownSignals } from "./input.ts";
import { tell } from "./output.ts";

export type Entering = Extract<SessionQuestion, { readonly action: "enter" }>;

/** The program first. */
export type CommandWords = readonly [string, ...string[]];

/** Between the word that the lock is lost and the end of a command that does not listen to it. */
const killMs = 5_000;
/** As shells have it: the program is not there, or is none. */
const notFoundCode = 127;
const notRunnableCode = 126;
/** As shells have it: a signal's number beyond this has ended the command. */
const signalCode = 128;

type Signal = (typeof shutdownSignals)[number];

/**
 * The exit code of the command; of `kv` itself where it was not run, or the lock was lost meanwhile.
 * Signals go on to the command, and the lock is released when it has ended.
 */
export async function runHolding(
  question: Entering,
  command: CommandWords,
  endpoints: readonly string[],
): Promise<number | Failure> {
  const heard = new AbortController();
  let running: ChildProcess | null = null;
  let ended: Signal | null = null;
  for (const signal of shutdownSignals) {
    process.on(signal, () => {
      ended = signal;
      heard.abort();
      // A terminal tells everybody in front of it.
      if (running !== null && !(signal === "SIGINT" && process.stdin.isTTY)) running.kill(signal);
    });
  }
  const interrupted = (): number | null =>
    ended === null ? null : signalCode + constants.signals[ended];
  const kv = connect(endpoints);
  let lock: Lock;
  try {
    lock = await enter(kv, question, heard.signal);
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    return interrupted() ?? failureOf(error);
  }
  try {
    const code = interrupted();
    if (code !== null) return code;
    running = start(command, environmentOf(question, lock));
    return await endOf(running, lock, command[0]);
  } finally {
    // Where no node is reached, it goes with its lease.
    await lock[Symbol.asyncDispose]();
  }
}

function enter(
  kv: ReturnType<typeof connect>,
  { name, queue, asked }: Entering,
  signal: AbortSignal,
): Promise<Lock> {
  const options = { ttl: asked.ttlMs, wait: asked.waitMs, signal };
  return name === "lock" ? kv.lock(queue, options) : kv.campaign(queue, asked.value, options);
}

/** What the command needs to fence itself off, and to attach keys. */
function environmentOf({ name }: Entering, { token, lease }: Lock): NodeJS.ProcessEnv {
  const prefix = name === "lock" ? "KV_LOCK" : "KV_ELECTION";
  return { ...process.env, [`${prefix}_TOKEN`]: `${token}`, [`${prefix}_LEASE`]: `${lease}` };
}

const start = ([program, ...words]: CommandWords, env: NodeJS.ProcessEnv): ChildProcess =>
  spawn(program, words, { stdio: "inherit", env });

function endOf(child: ChildProcess, lock: Lock, program: string): Promise<number> {
  return new Promise((resolve) => {
    let kill: ReturnType<typeof setTimeout> | undefined;
    const lose = (): void => {
      const why = lock.signal.reason instanceof Error ? lock.signal.reason.message : "it is lost";
      tell(`kv: ${why}; the command is ended, for somebody else may hold "${lock.name}" now`);
      child.kill("SIGTERM");
      kill = setTimeout(() => child.kill("SIGKILL"), killMs);
    };
    lock.signal.addEventListener("abort", lose);
    const end = (code: number): void => {
      clearTimeout(kill);
      lock.signal.removeEventListener("abort", lose);
      resolve(lock.signal.aborted ? exitCodes.unreachable : code);
    };
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return;
      tell(`kv: ${program} cannot be run (${error.code ?? error.message})`);
      end(error.code === "ENOENT" ? notFoundCode : notRunnableCode);
    });
    child.on("exit", (code, signal) => {
      end(code ?? signalCode + (signal === null ? 0 : constants.signals[signal]));
    });
    if (lock.signal.aborted) lose();
  });
}

function failureOf({ code, message, outcome }: KvError): Failure {
  const known = isFailureCode(code) ? code : "unreachable";
  const failure = { ok: false, code: known, detail: message } as const;
  return withFlag({ ...failure, ...(outcome === undefined ? {} : { outcome }) });
}
