/**
 * The prompt on a terminal: takes keys, draws the line being typed at the bottom, and lets all else
 * be printed above it. It edits in raw mode by itself: so it depends on no runtime's readline, and
 * knows at any time what stands in the last row.
 */

import { columnsOf, shortenedTo, shown, windowOf } from "./display.ts";
import type { Complete, Completion } from "./completion.ts";
import { drained } from "./drained.ts";
import type { Drainable } from "./drained.ts";
import { KeyDecoder, pasteMarksOff, pasteMarksOn } from "./keys.ts";
import type { Key, KeyEvent } from "./keys.ts";
import { LineEditor } from "./line-editor.ts";
import { renderLine } from "./render.ts";

/** What is taken from a terminal to read; `process.stdin` is one. */
export interface TerminalInput {
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "end" | "close" | "error", listener: () => void): unknown;
  removeListener(event: string, listener: (chunk: Uint8Array) => void): unknown;
  pause(): unknown;
  resume(): unknown;
  setRawMode?(on: boolean): unknown;
}

/** What is taken from a terminal to write; `process.stdout` is one. */
export interface TerminalOutput extends Drainable {
  write(text: string): unknown;
  on(event: "resize" | "drain" | "error" | "close", listener: () => void): unknown;
  removeListener(event: "resize" | "drain" | "error" | "close", listener: () => void): unknown;
  readonly columns?: number;
  readonly writableLength?: number;
  readonly writableNeedDrain?: boolean;
}

export interface TerminalOptions {
  readonly input: TerminalInput;
  readonly output: TerminalOutput;
  /** Asked again at each drawing. */
  readonly prompt: () => string;
  /** Oldest first; read while it grows. */
  readonly history: readonly string[];
  readonly complete: Complete;
  readonly onLine: (line: string) => void;
  /** Gives up what runs and what waits; false when there was nothing. */
  readonly onInterrupt: () => boolean;
  /** Ctrl-D on an empty line. */
  readonly onEndOfInput: () => void;
  /** The terminal is gone. */
  readonly onHangup: () => void;
  /** A bug: completion failed in a way it must not. */
  readonly onError: (error: unknown) => void;
}

/** A stopped or slow terminal is not given more than this; what comes above it is dropped. */
export const terminalOutputBytesMax = 4 * 1_048_576;
/** Characters of a long line that are repeated when it is entered. */
export const echoLengthMax = 2_000;
/** Possible completions that are shown. */
export const candidatesShownMax = 40;

const eraseRow = "\r\x1b[2K";
const clearAll = "\x1b[H\x1b[2J";
const columnsDefault = 80;
/** A narrower terminal is drawn as if it were this wide. */
const columnsMin = 20;

const leaveHint = "exit or Ctrl-D leaves";

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #editor: LineEditor;
  readonly #decoder = new KeyDecoder();
  /** Keys that wait for a completion to end. */
  readonly #keys: KeyEvent[] = [];
  #completing = false;
  /** Whether a command runs: until it is answered an empty line needs no prompt. */
  #busy = false;
  #paused = false;
  #closed = false;
  #droppedPrints = 0;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#editor = new LineEditor(options.history);
    const { input, output } = options;
    input.setRawMode?.(true);
    input.on("data", this.#onData);
    for (const event of ["end", "close", "error"] as const) input.on(event, this.#onHangup);
    output.on("error", this.#onHangup);
    output.on("resize", this.refresh);
    output.write(pasteMarksOn);
    this.#draw();
    input.resume();
  }

  /** Gives the terminal back as it was. Calling it again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { input, output } = this.#options;
    output.write(`${eraseRow}${pasteMarksOff}`);
    input.removeListener("data", this.#onData);
    output.removeListener("resize", this.refresh);
    // The listeners for errors stay: without one, an error after the end would end the process.
    input.setRawMode?.(false);
    input.pause();
  }

  /** Draws again, for instance because the prompt has changed. */
  readonly refresh = (): void => {
    if (!this.#closed) this.#draw();
  };

  get columns(): number {
    return Math.max(columnsMin, this.#options.output.columns || columnsDefault);
  }

  setBusy(busy: boolean): void {
    this.#busy = busy;
    this.refresh();
  }

  /** Takes no keys while `paused`. */
  setPaused(paused: boolean): void {
    if (this.#closed || paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#options.input.pause();
    else this.#options.input.resume();
  }

  /**
   * Prints lines above the line being typed. Control characters in them are escaped, whoever wrote
   * them. When the terminal does not take what it is given, prints are dropped and counted.
   */
  printAbove(text: string): void {
    const { output } = this.#options;
    if ((output.writableLength ?? 0) > terminalOutputBytesMax) {
      this.#droppedPrints++;
      return;
    }
    let lines = text.replace(/\n$/, "");
    if (this.#droppedPrints > 0) lines = `(${this.#droppedPrints} prints were dropped)\n${lines}`;
    this.#droppedPrints = 0;
    const safe = lines.split("\n").map(renderLine).join("\r\n");
    output.write(this.#closed ? `${safe}\r\n` : `${eraseRow}${safe}\r\n${this.#drawing()}`);
  }

  /** Shows an entered line as if it had been typed at a prompt of its own. */
  echo(line: string, mark = ""): void {
    const start = shown(line.slice(0, echoLengthMax));
    const cut = line.length > echoLengthMax ? "…" : "";
    this.printAbove(`${this.#options.prompt()}${start}${cut}${mark}`);
  }

  /** Resolves when the terminal takes more, or is gone. */
  async drained(): Promise<void> {
    const { output } = this.#options;
    if (output.writableNeedDrain !== true || this.#closed) return;
    await drained(output);
  }

  readonly #onHangup = (): void => {
    if (!this.#closed) this.#options.onHangup();
  };

  readonly #onData = (chunk: Uint8Array): void => {
    this.#keys.push(...this.#decoder.push(chunk));
    this.#work();
  };

  #work(): void {
    while (!this.#completing && !this.#closed) {
      const event = this.#keys.shift();
      if (event === undefined) break;
      if (event.type === "text") this.#editor.insert(event.text);
      else this.#press(event.key);
    }
    this.refresh();
  }

  #press(key: Key): void {
    switch (key) {
      case "enter":
        this.#options.onLine(this.#editor.take());
        break;
      case "complete":
        this.#complete();
        break;
      case "interrupt":
        this.#interrupt();
        break;
      case "endOfInput":
        if (this.#editor.text === "") this.#options.onEndOfInput();
        else this.#editor.press("delete");
        break;
      case "clearScreen":
        this.#options.output.write(clearAll);
        break;
      default:
        this.#editor.press(key);
    }
  }

  #interrupt(): void {
    const line = this.#editor.take();
    const gaveUp = this.#options.onInterrupt();
    if (line !== "") this.echo(line, "^C");
    else if (!gaveUp) this.printAbove(leaveHint);
  }

  /** Keys that come meanwhile wait, so that they mean what they would have meant without haste. */
  #complete(): void {
    const editor = this.#editor;
    const before = editor.text.slice(0, editor.cursor);
    this.#completing = true;
    const apply = (completion: Completion | null): void => {
      this.#completing = false;
      if (completion !== null) {
        const isSame = before.slice(completion.start) === completion.text;
        editor.replaceBefore(completion.start, completion.text);
        if (isSame) this.#showCandidates(completion.candidates, completion.more);
      }
      this.#work();
    };
    this.#options.complete(before).then(apply).catch(this.#options.onError);
  }

  #showCandidates(candidates: readonly string[], more: boolean): void {
    const some = candidates
      .slice(0, candidatesShownMax)
      .map((candidate) => shortenedTo(candidate, this.columns - 1));
    const isCut = more || some.length < candidates.length;
    this.printAbove(`${some.join("  ")}${isCut ? "  …" : ""}`);
  }

  #draw(): void {
    this.#options.output.write(`${eraseRow}${this.#drawing()}`);
  }

  #drawing(): string {
    const { text, cursor } = this.#editor;
    if (this.#busy && text === "") return "";
    const { columns } = this;
    const prompt = this.#promptFor(columns);
    const promptColumns = columnsOf(prompt);
    // The last column stays free: a terminal may wrap as soon as it is written.
    const window = windowOf(text, cursor, columns - promptColumns - 1);
    const column = promptColumns + window.columnsBefore;
    return `${prompt}${window.text}\r${column === 0 ? "" : `\x1b[${column}C`}`;
  }

  /** Half the row at the most, so that there is room to type. */
  #promptFor(columns: number): string {
    const prompt = shown(this.#options.prompt());
    return columnsOf(prompt) <= columns / 2 ? prompt : "> ";
  }
}
