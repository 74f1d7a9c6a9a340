/**
 * The lines typed before, kept over runs in a file of one line each. History is a comfort: a file
 * that is missing, damaged or not writable costs the history and nothing else.
 */

import {
  appendFileSync,
  chmodSync,
  closeSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";

export const historyLinesMax = 1_000;
/** Longer lines are not remembered. */
export const historyLineLengthMax = 4_096;
/** Of a larger file only the end is read. */
export const historyFileBytesMax = 1_048_576;

export class History {
  /** Oldest first. */
  readonly lines: string[];
  readonly #path: string | null;
  /** Lines added since the file was last cut to its size. */
  #appended = 0;

  private constructor(path: string | null, lines: string[]) {
    this.#path = path;
    this.lines = lines;
  }

  /** Without a path the history lasts as long as the process. Never throws. */
  static open(path: string | null): History {
    if (path === null) return new History(null, []);
    try {
      const text = readTail(path);
      if (text === null) return new History(path, []);
      const lines = soundLines(text);
      if (toFileText(lines) === text) chmodSync(path, 0o600);
      else replaceFile(path, lines);
      return new History(path, lines);
    } catch {
      return new History(null, []);
    }
  }

  /** Blank lines, very long ones and repetitions of the last one are left out. */
  add(line: string): void {
    if (!isSound(line) || line === this.lines.at(-1)) return;
    this.lines.push(line);
    if (this.lines.length > historyLinesMax) this.lines.shift();
    if (this.#path === null) return;
    try {
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 });
      if (++this.#appended < historyLinesMax) return;
      this.#appended = 0;
      replaceFile(this.#path, this.lines);
    } catch {
      // The line stays in memory; the next one tries the file again.
    }
  }
}

/** Null where there is no file. Throws what prevents the reading of one that is there. */
function readTail(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  // Opening a named pipe would wait for a writer.
  if (!stat.isFile()) throw new Error("the history is not a regular file");
  const file = openSync(path, "r");
  try {
    const size = fstatSync(file).size;
    const start = Math.max(0, size - historyFileBytesMax);
    const bytes = new Uint8Array(size - start);
    let length = 0;
    while (length < bytes.length) {
      const count = readSync(file, bytes, length, bytes.length - length, start + length);
      if (count === 0) break;
      length += count;
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, length));
    // The first line of a cut file is probably half a line.
    return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    closeSync(file);
  }
}

function soundLines(text: string): string[] {
  return text.split("\n").filter(isSound).slice(-historyLinesMax);
}

/** NUL bytes and replacement characters are what a damaged file decodes to. */
function isSound(line: string): boolean {
  return line.trim() !== "" && line.length <= historyLineLengthMax && !/[\0\n\r\ufffd]/.test(line);
}

function toFileText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function replaceFile(path: string, lines: readonly string[]): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, toFileText(lines), { mode: 0o600 });
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}
