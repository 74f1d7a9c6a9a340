/**
 * Turns the bytes that a terminal in raw mode sends into keys. Chunks may end anywhere: inside a
 * character, inside an escape sequence, inside a paste.
 */

export type Key =
  | "enter"
  | "complete"
  | "interrupt"
  | "endOfInput"
  | "left"
  | "right"
  | "wordLeft"
  | "wordRight"
  | "home"
  | "end"
  | "previous"
  | "next"
  | "backspace"
  | "delete"
  | "killToStart"
  | "killToEnd"
  | "killWord"
  | "killWordAfter"
  | "yank"
  | "clearScreen";

/** `text` is what was typed or pasted; only in a paste does it hold control characters. */
export type KeyEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "key"; readonly key: Key };

/** Asks the terminal to mark what is pasted, so that a pasted tab is not taken for the key. */
export const pasteMarksOn = "\x1b[?2004h";
export const pasteMarksOff = "\x1b[?2004l";

const pasteStart = "\x1b[200~";
const pasteEnd = "\x1b[201~";

/** A longer escape sequence is garbage. */
const sequenceLengthMax = 32;

const controlKeys: ReadonlyMap<string, Key> = new Map([
  ["\x01", "home"],
  ["\x02", "left"],
  ["\x03", "interrupt"],
  ["\x04", "endOfInput"],
  ["\x05", "end"],
  ["\x06", "right"],
  ["\x08", "backspace"],
  ["\t", "complete"],
  ["\n", "enter"],
  ["\x0b", "killToEnd"],
  ["\x0c", "clearScreen"],
  ["\r", "enter"],
  ["\x0e", "next"],
  ["\x10", "previous"],
  ["\x15", "killToStart"],
  ["\x17", "killWord"],
  ["\x19", "yank"],
  ["\x7f", "backspace"],
]);

/** By what follows ESC [ or ESC O (xterm's control sequences, and the VT220's numbers). */
const sequenceKeys: ReadonlyMap<string, Key> = new Map([
  ["A", "previous"],
  ["B", "next"],
  ["C", "right"],
  ["D", "left"],
  ["H", "home"],
  ["F", "end"],
  ["1~", "home"],
  ["7~", "home"],
  ["4~", "end"],
  ["8~", "end"],
  ["3~", "delete"],
  ["1;5C", "wordRight"],
  ["1;3C", "wordRight"],
  ["1;5D", "wordLeft"],
  ["1;3D", "wordLeft"],
]);

const altKeys: ReadonlyMap<string, Key> = new Map([
  ["b", "wordLeft"],
  ["f", "wordRight"],
  ["d", "killWordAfter"],
  ["\x7f", "killWord"],
]);

export class KeyDecoder {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** What has come and is not complete yet. */
  #rest = "";
  #inPaste = false;
  #afterReturn = false;

  push(chunk: Uint8Array): KeyEvent[] {
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    const events: KeyEvent[] = [];
    while (this.#rest !== "" && (this.#inPaste ? this.#paste(events) : this.#typed(events)));
    return events;
  }

  /** Takes one thing off `#rest`; false when more bytes are needed for it. */
  #typed(events: KeyEvent[]): boolean {
    // oxlint-disable-next-line no-control-regex
    const stop = this.#rest.search(/[\x00-\x1f\x7f]/);
    if (stop !== 0) {
      this.#text(this.#take(stop === -1 ? this.#rest.length : stop), events);
      return true;
    }
    if (this.#rest.startsWith("\x1b")) return this.#sequence(events);
    this.#control(this.#take(1), events);
    return true;
  }

  #control(character: string, events: KeyEvent[]): void {
    const key = controlKeys.get(character);
    // A line may end in both, and is one line.
    const isSecondHalf = character === "\n" && this.#afterReturn;
    this.#afterReturn = character === "\r";
    if (key !== undefined && !isSecondHalf) events.push({ type: "key", key });
  }

  #sequence(events: KeyEvent[]): boolean {
    // oxlint-disable-next-line no-control-regex
    const match = /^\x1b(?:[[O]([0-9;:<=>?]*[ -/]*[@-~])|([^[O]))/su.exec(this.#rest);
    if (match === null) {
      if (this.#rest.length <= sequenceLengthMax && !/^.[^]*[\r\n\x03]/.test(this.#rest)) {
        return false;
      }
      this.#take(1);
      return true;
    }
    const [whole, code, character] = match;
    const key = code === undefined ? altKeys.get(character ?? "") : sequenceKeys.get(code);
    // Escape may have been pressed by itself, and then something else.
    const isAlone = key === undefined && character !== undefined;
    this.#take(isAlone ? 1 : whole.length);
    if (whole === pasteStart) this.#inPaste = true;
    else if (key !== undefined) events.push({ type: "key", key });
    return true;
  }

  /** In a paste all is text but the ends of lines, and Ctrl-C, should the end mark be lost. */
  #paste(events: KeyEvent[]): boolean {
    const stop = this.#rest.search(/[\r\n\x03]|\x1b\[201~/);
    if (stop > 0) {
      this.#text(this.#take(stop), events);
      return true;
    }
    if (stop === -1) return this.#pasteTail(events);
    if (this.#rest.startsWith(pasteEnd)) {
      this.#take(pasteEnd.length);
      this.#inPaste = false;
      return true;
    }
    const character = this.#take(1);
    if (character === "\x03") this.#inPaste = false;
    this.#control(character, events);
    return true;
  }

  /** No stop in sight: everything is text but what may be the beginning of the end mark. */
  #pasteTail(events: KeyEvent[]): boolean {
    const escape = this.#rest.lastIndexOf("\x1b");
    const isMark = escape !== -1 && pasteEnd.startsWith(this.#rest.slice(escape));
    const length = isMark ? escape : this.#rest.length;
    if (length > 0) this.#text(this.#take(length), events);
    return false;
  }

  #text(text: string, events: KeyEvent[]): void {
    this.#afterReturn = false;
    events.push({ type: "text", text });
  }

  #take(length: number): string {
    const taken = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return taken;
  }
}
