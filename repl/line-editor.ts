/** The line being typed: its text, the cursor, the way through the history. Knows no terminal. */

import type { Key } from "./keys.ts";
import { lineBytesMax } from "./words.ts";

/** What the terminal has to do about a key; the rest is done here. */
export type EditorKey = Exclude<
  Key,
  "enter" | "complete" | "interrupt" | "endOfInput" | "clearScreen"
>;

/** How much text around the cursor is looked at to find the borders of characters. */
const clusterLengthMax = 64;

const segmenter = new Intl.Segmenter();

export class LineEditor {
  /**
   * At most one unit longer than a line may be: an overlong line is kept overlong, so that it is
   * refused and not run without its end.
   */
  text = "";
  /** An offset into the text, never inside a character. */
  cursor = 0;
  readonly #history: readonly string[];
  /** Counted from the newest: 1 is the last line; 0 is the line being typed. */
  #historyBack = 0;
  /** The line being typed, while the history is shown. */
  #draft = "";
  #killed = "";

  /** `history` is read, oldest first; others add to it. */
  constructor(history: readonly string[]) {
    this.#history = history;
  }

  insert(text: string): void {
    const room = Math.max(0, lineBytesMax + 1 - this.text.length);
    this.replaceBefore(this.cursor, text.slice(0, room));
  }

  /** Puts `text` in the place of what stands between `start` and the cursor. */
  replaceBefore(start: number, text: string): void {
    this.text = this.text.slice(0, start) + text + this.text.slice(this.cursor);
    this.cursor = start + text.length;
  }

  /** Gives the line away and starts an empty one. */
  take(): string {
    const text = this.text;
    this.text = "";
    this.cursor = 0;
    this.#historyBack = 0;
    this.#draft = "";
    return text;
  }

  press(key: EditorKey): void {
    switch (key) {
      case "left":
        this.cursor = this.#characterStart();
        break;
      case "right":
        this.cursor = this.#characterEnd();
        break;
      case "wordLeft":
        this.cursor = this.#wordStart();
        break;
      case "wordRight":
        this.cursor = this.#wordEnd();
        break;
      case "home":
        this.cursor = 0;
        break;
      case "end":
        this.cursor = this.text.length;
        break;
      case "previous":
        this.#showHistory(this.#historyBack + 1);
        break;
      case "next":
        this.#showHistory(this.#historyBack - 1);
        break;
      default:
        this.#change(key);
    }
  }

  #change(key: "backspace" | "delete" | "yank" | `kill${string}`): void {
    switch (key) {
      case "backspace":
        this.#cut(this.#characterStart(), this.cursor);
        break;
      case "delete":
        this.#cut(this.cursor, this.#characterEnd());
        break;
      case "yank":
        this.insert(this.#killed);
        break;
      case "killToStart":
        this.#kill(0, this.cursor);
        break;
      case "killToEnd":
        this.#kill(this.cursor, this.text.length);
        break;
      case "killWord":
        this.#kill(this.#wordStart(), this.cursor);
        break;
      case "killWordAfter":
        this.#kill(this.cursor, this.#wordEnd());
        break;
    }
  }

  #showHistory(back: number): void {
    if (back < 0 || back > this.#history.length) return;
    if (this.#historyBack === 0) this.#draft = this.text;
    this.#historyBack = back;
    this.text = back === 0 ? this.#draft : (this.#history.at(-back) ?? "");
    this.cursor = this.text.length;
  }

  #kill(start: number, end: number): void {
    if (end > start) this.#killed = this.#cut(start, end);
  }

  #cut(start: number, end: number): string {
    const cut = this.text.slice(start, end);
    this.text = this.text.slice(0, start) + this.text.slice(end);
    this.cursor = start;
    return cut;
  }

  #characterStart(): number {
    const from = Math.max(0, this.cursor - clusterLengthMax);
    let start = from;
    for (const { index } of segmenter.segment(this.text.slice(from, this.cursor))) {
      start = from + index;
    }
    return start;
  }

  #characterEnd(): number {
    const after = this.text.slice(this.cursor, this.cursor + clusterLengthMax);
    for (const { segment } of segmenter.segment(after)) return this.cursor + segment.length;
    return this.cursor;
  }

  #wordStart(): number {
    let offset = this.cursor;
    while (offset > 0 && isBlank(this.text[offset - 1])) offset--;
    while (offset > 0 && !isBlank(this.text[offset - 1])) offset--;
    return offset;
  }

  #wordEnd(): number {
    let offset = this.cursor;
    while (offset < this.text.length && isBlank(this.text[offset])) offset++;
    while (offset < this.text.length && !isBlank(this.text[offset])) offset++;
    return offset;
  }
}

function isBlank(character: string | undefined): boolean {
  return character === " " || character === "\t";
}
