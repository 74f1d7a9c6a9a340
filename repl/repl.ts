/**
 * The prompt over a store, in its two forms: on a terminal, and on a pipe whose lines are commands.
 * Both run one command after another and print answers in the order of the lines.
 */

import { renderProblem } from "./answers.ts";
import type { ClientPort } from "../server/client-port.ts";
import { completer } from "./completion.ts";
import { drained } from "./drained.ts";
import type { Drainable } from "./drained.ts";
import { History } from "./history.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { Line } from "./line-splitter.ts";
import { Terminal } from "./terminal.ts";
import type { TerminalInput, TerminalOutput } from "./terminal.ts";
import { Session } from "./session.ts";
import { lineTooLong } from "./words.ts";
import type { Problem } from "./words.ts";

/** Lines of a paste that wait; while there are more, the keyboard is not read. */
export const waitingLinesMax = 1_000;

export interface RunTerminalOptions {
  readonly store: ClientPort;
  /** Asked at each drawing, for instance for `nodePrompt(…)`. */
  readonly prompt: () => string;
  readonly input: TerminalInput;
  readonly output: TerminalOutput;
  /** Null keeps the history in memory. */
  readonly historyPath: string | null;
  /** For `.timing`. */
  readonly monotonicMs?: () => number;
}

export interface TerminalSession {
  /** When the person has left: `exit`, Ctrl-D on an empty line, or the terminal is gone. */
  readonly ended: Promise<"exit">;
  /** For log lines: prints them above the line being typed, with control characters escaped. */
  printAbove(text: string): void;
  /** Draws the prompt again because it has changed. */
  refresh(): void;
  /** Gives the terminal back. To be called before the process ends for another reason. */
  close(): void;
}

/** `kv[1 leader]> ` */
export function nodePrompt(nodeId: number, role: string): string {
  return `kv[${nodeId} ${role}]> `;
}

/** A prompt on a terminal. It has given the terminal back when `ended` settles. */
export function runTerminal(options: RunTerminalOptions): TerminalSession {
  const session = new LineRunner(options);
  return {
    ended: session.ended,
    printAbove: (text) => session.terminal.printAbove(text),
    refresh: () => session.terminal.refresh(),
    close: () => session.terminal.close(),
  };
}

/** Runs the terminal's lines in order, each to its end before the next. */
class LineRunner {
  readonly terminal: Terminal;
  readonly ended: Promise<"exit">;
  readonly #session: Session;
  readonly #history: History;
  readonly #waiting: string[] = [];
  /** Of the command that runs. */
  #running: AbortController | null = null;
  #endsAfterWaiting = false;
  readonly #end: (error?: unknown) => void;

  constructor(options: RunTerminalOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<"exit">();
    this.ended = promise;
    this.#end = (error) => {
      this.terminal.close();
      if (error === undefined) resolve("exit");
      else reject(error);
    };
    this.#session = new Session(options.store, options.monotonicMs);
    this.#history = History.open(options.historyPath);
    this.terminal = new Terminal({
      input: options.input,
      output: options.output,
      prompt: () => (this.#session.isOpen ? "... " : options.prompt()),
      history: this.#history.lines,
      complete: completer(options.store),
      onLine: (line) => this.#enter(line),
      onInterrupt: () => this.#interrupt(),
      onEndOfInput: () => {
        this.#endsAfterWaiting = true;
        this.#runWaiting();
      },
      onHangup: () => this.#end(),
      onError: this.#end,
    });
  }

  #enter(line: string): void {
    this.#history.add(line);
    this.#waiting.push(line);
    if (this.#waiting.length >= waitingLinesMax) this.terminal.setPaused(true);
    this.#runWaiting();
  }

  #interrupt(): boolean {
    const count = this.#waiting.length;
    this.#waiting.length = 0;
    if (count > 0) {
      this.terminal.printAbove(
        `${count} waiting ${count === 1 ? "line was" : "lines were"} dropped`,
      );
    }
    this.#running?.abort();
    if (this.#session.drop()) return true;
    return count > 0 || this.#running !== null;
  }

  #runWaiting(): void {
    if (this.#running !== null) return;
    const line = this.#waiting.shift();
    if (this.#waiting.length < waitingLinesMax / 2) this.terminal.setPaused(false);
    if (line === undefined) {
      this.terminal.setBusy(false);
      if (this.#endsAfterWaiting) this.#end();
      return;
    }
    this.#running = new AbortController();
    this.terminal.echo(line);
    this.terminal.setBusy(true);
    this.#run(line, this.#running.signal).catch(this.#end);
  }

  async #run(line: string, signal: AbortSignal): Promise<void> {
    const { text, exit } = await this.#session.execute(line, {
      signal,
      columns: this.terminal.columns,
      print: (shown) => {
        this.terminal.printAbove(shown);
        return this.terminal.drained();
      },
    });
    if (text !== null) this.terminal.printAbove(text);
    await this.terminal.drained();
    this.#running = null;
    if (exit) this.#end();
    else this.#runWaiting();
  }
}

export interface PipeOutput extends Drainable {
  write(text: string): boolean;
}

export interface RunPipeOptions {
  readonly store: ClientPort;
  /** Chunks of bytes; `process.stdin` gives them. */
  readonly input: AsyncIterable<Uint8Array>;
  readonly output: PipeOutput;
  /** For `.timing`. */
  readonly monotonicMs?: () => number;
}

const notText: Problem = {
  ok: false,
  column: null,
  detail: "the line is not valid UTF-8 and was not run",
  advice: 'write such bytes as \\xHH in double quotes, for example "\\xff"',
};

/**
 * Runs the input's lines as commands and prints what each answers, without a prompt. A line that
 * fails is answered with its error, and the next one runs. `exit` ends it, and "end" is the end of
 * the input; a last line without a newline counts. Values are shown as on a terminal, so a value
 * never takes more than one line. When nobody reads the answers any more, the lines still run.
 */
export async function runPipe(options: RunPipeOptions): Promise<"exit" | "end"> {
  const splitter = new LineSplitter();
  const printer = new PipePrinter(options.output);
  const session = new Session(options.store, options.monotonicMs);
  for await (const chunk of options.input) {
    for (const line of splitter.push(chunk)) {
      if (await runPipeLine(session, line, printer)) return "exit";
    }
  }
  const last = splitter.end();
  const exit = last !== null && (await runPipeLine(session, last, printer));
  const { text } = await session.end({ columns: null });
  if (text !== null) await printer.print(text);
  return exit ? "exit" : "end";
}

async function runPipeLine(session: Session, line: Line, printer: PipePrinter): Promise<boolean> {
  if (!line.ok) {
    await printer.print(renderProblem(line.reason === "tooLong" ? lineTooLong : notText));
    return false;
  }
  const { text, exit } = await session.execute(line.text, { columns: null });
  if (text !== null) await printer.print(text);
  return exit;
}

/** Waits for its reader, so that answers do not pile up in memory. */
class PipePrinter {
  readonly #output: PipeOutput;
  #broken = false;

  constructor(output: PipeOutput) {
    this.#output = output;
    // Stays: an error without a listener would end the process, which still serves others.
    const broke = (): void => {
      this.#broken = true;
    };
    output.on("error", broke);
    output.on("close", broke);
  }

  async print(text: string): Promise<void> {
    if (this.#broken) return;
    try {
      if (this.#output.write(`${text}\n`)) return;
    } catch {
      // Deno says so at once where a disk is full.
      this.#broken = true;
      return;
    }
    await drained(this.#output);
  }
}
