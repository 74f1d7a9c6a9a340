/** A process of the program under test: what it says, how it ends, and what can be done to it. */

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cleanEnvironment } from "./executable.ts";
import type { Scope } from "./scope.ts";
import { inTime, until } from "./wait.ts";

/** The end of each stream that is kept. */
const outputCharactersMax = 4 << 20;
/** How long after a process's end the rest of its output may take. */
const streamsGraceMs = 500;
/** Lines of standard error that a failed test prints. */
const toldLinesMax = 25;

/**
 * - `none`: standard input is /dev/null.
 * - `pipe`: what the test writes.
 * - `terminal`: a pseudo-terminal, on which the test types.
 */
export type Input = "none" | "pipe" | "terminal";

export interface ProcessOptions {
  /** What a failed test calls it. */
  readonly name: string;
  readonly command: readonly string[];
  readonly input?: Input;
  readonly directory?: string;
  readonly environment?: Record<string, string>;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Joins a pseudo-terminal to its own standard input and output and ends with the program's exit code.
 * The first line on its standard error is the program's process id.
 */
const terminalBridge = `
import fcntl, os, pty, select, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
os.write(2, b"%d\\n" % pid)
inputs = [0, master]
while True:
    ready = select.select(inputs, [], [])[0]
    if 0 in ready:
        data = os.read(0, 65536)
        if not data: inputs.remove(0)
        while data: data = data[os.write(master, data):]
    if master in ready:
        try: data = os.read(master, 65536)
        except OSError: data = b""
        if not data: break
        while data: data = data[os.write(1, data):]
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`;

/** Why there can be no pseudo-terminal here; null where there can. */
export function whyNoTerminal(): string | null {
  const tried = spawnSync("python3", ["-c", "import pty, fcntl, termios; pty.openpty()"]);
  return tried.status === 0 ? null : "no python3 with its pty module for a pseudo-terminal";
}

/** Escape sequences that move, colour and clear: what is left is the text that was drawn. */
const escapeSequences = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])/g;

export class KvProcess {
  readonly name: string;
  /** Everything that came so far; of a terminal, with its escape sequences. */
  stdout = "";
  stderr = "";
  /** Null while it runs. */
  ending: Ending | null = null;
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #input: Input;

  constructor(scope: Scope, options: ProcessOptions) {
    this.name = options.name;
    this.#input = options.input ?? "none";
    const bridge = ["python3", "-c", terminalBridge];
    const words = [...(this.#input === "terminal" ? bridge : []), ...options.command];
    const [program = "", ...args] = words;
    this.#child = spawn(program, args, {
      cwd: options.directory,
      env: cleanEnvironment(options.environment),
      stdio: [this.#input === "none" ? "ignore" : "pipe", "pipe", "pipe"],
    });
    // A program that ended does not read on; that is seen by its ending.
    this.#child.stdin?.on("error", () => {});
    this.#collect();
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.stderr += `${error.message}\n`;
        this.#end({ code: null, signal: null }, resolve);
      });
      this.#child.once("exit", () => this.#closeStreams());
      this.#child.once("close", (code, signal) => this.#end({ code, signal }, resolve));
    });
    scope.onFailure(() => this.#testimony());
    scope.onEnd(() => this.kill());
  }

  /** Of the program itself, also behind a terminal. */
  get pid(): number {
    const pid = this.#input === "terminal" ? Number.parseInt(this.stderr, 10) : this.#child.pid;
    if (pid === undefined || Number.isNaN(pid)) throw new Error(`${this.name} has not started`);
    return pid;
  }

  get isRunning(): boolean {
    return this.ending === null;
  }

  /** Lines on standard error that are not empty. */
  get errorLines(): string[] {
    return this.stderr.split("\n").filter((line) => line.trim() !== "");
  }

  /** What was drawn on a terminal after the first `from` characters of output, as plain text. */
  screen(from = 0): string {
    return this.stdout.slice(from).replaceAll(escapeSequences, "");
  }

  write(text: string | Uint8Array): void {
    this.#child.stdin?.write(text);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.pid, name);
  }

  /** Waits for `pattern` in what comes on standard output after the first `from` characters. */
  async says(pattern: RegExp, options: { from?: number; within?: number } = {}): Promise<string> {
    const { from = 0, within = 5_000 } = options;
    const match = await until(`${this.name} says ${pattern}`, within, () => {
      const text = this.screen(from);
      return pattern.exec(text) ?? Promise.reject(new Error(JSON.stringify(text.slice(-300))));
    });
    return match[0];
  }

  endsWithin(ms: number): Promise<Ending> {
    return inTime(`${this.name} ends`, ms, this.ended);
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    try {
      process.kill(this.pid, "SIGKILL");
    } catch {
      // It has just ended by itself, or never begun.
    }
    if (this.#input === "terminal" && Number.isNaN(Number.parseInt(this.stderr, 10))) {
      this.#child.kill("SIGKILL");
    }
    await inTime(`${this.name} ends after SIGKILL`, 10_000, this.ended);
  }

  #collect(): void {
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout = (this.stdout + text).slice(-outputCharactersMax);
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-outputCharactersMax);
    });
  }

  /** Processes that it has left behind may hold its streams open; they are not waited for. */
  #closeStreams(): void {
    const timer = setTimeout(() => {
      this.#child.stdout?.destroy();
      this.#child.stderr?.destroy();
    }, streamsGraceMs);
    this.#child.once("close", () => clearTimeout(timer));
  }

  #end(ending: Ending, resolve: (ending: Ending) => void): void {
    this.ending ??= ending;
    resolve(this.ending);
  }

  #testimony(): string {
    const state = this.ending === null ? "runs" : `ended: ${JSON.stringify(this.ending)}`;
    const lines = this.errorLines.slice(-toldLinesMax).map((line) => `    ${line}\n`);
    return `  ${this.name} (${state}), last lines on standard error:\n${lines.join("")}`;
  }
}
