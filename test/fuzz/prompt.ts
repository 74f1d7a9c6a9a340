/**
 * The prompt: lines, keys and values from anybody. A line is a command or a clear error, nothing hangs,
 * and no control character of a key or value reaches the terminal.
 */

import { EventEmitter } from "node:events";
import * as assert from "uvu/assert";
import { completer } from "../../repl/completion.ts";
import { renderProblem } from "../../repl/answers.ts";
import { columnsOf, windowOf } from "../../repl/display.ts";
import { execute } from "../../repl/execute.ts";
import { KeyDecoder, type KeyEvent } from "../../repl/keys.ts";
import { LineEditor, type EditorKey } from "../../repl/line-editor.ts";
import { LineSplitter } from "../../repl/line-splitter.ts";
import { parseLine } from "../../repl/parser.ts";
import {
  jsonLine,
  renderKey,
  renderKeyStart,
  renderLine,
  renderListedValue,
  renderValue,
} from "../../repl/render.ts";
import { runTerminal } from "../../repl/repl.ts";
import { lineBytesMax } from "../../repl/words.ts";
import { MemoryStore } from "../repl/memory-store.ts";
import { chunksOf } from "./mutation.ts";
import type { Tape } from "./tape.ts";

const pieces = [
  "lease grant 30s",
  "lock acquire ",
  "election campaign e v",
  " --wait 10s",
  " --lease 7",
  "put ",
  "get ",
  "del ",
  "list ",
  "help ",
  "exit",
  "append ",
  ".mode json",
  "\n.timing on\n",
  " --limit ",
  " --ttl=5s ",
  "--if-match",
  "txn {",
  "k",
  "value",
  " ",
  "\t",
  '"',
  "'",
  "\\",
  "\\x1b",
  "\\x",
  "\\u{1f600}",
  "\\u{110000}",
  "\\u{d800}",
  "\\n",
  "not found",
  "error: ",
  "\x1b[2J",
  "\x1b]0;title\x07",
  "\x1b[201~",
  "\x1b[200~",
  "\x00",
  "\x7f",
  "\x9b",
  "\r",
  "\n",
  "\x03",
  "\u2028",
  "\u202e",
  "\u200d",
  "\u200b",
  "\ufeff",
  "\u00ad",
  "\u0301",
  "ä",
  "漢",
  "😀",
  "👨‍👩‍👧",
  "🇩🇪",
  "\ud800",
  "\udc00",
  "\u{e0041}",
  "\ufffd",
  "\u3000",
  "\u00a0",
  "__proto__",
] as const;

/** A megabyte where the tape says so: what takes time with the square of it shows. */
const manyTimes = [1, 1, 1, 2, 30, 3_000] as const;
const hugeCharacters = 1 << 20;

function drawText(tape: Tape, piecesMax = 12): string {
  let text = "";
  for (let count = tape.below(piecesMax); count > 0; count--) {
    text += tape.once(6) ? String.fromCharCode(tape.byte()) : tape.pick(pieces);
  }
  if (tape.once(64)) return text.repeat(Math.ceil(hugeCharacters / Math.max(1, text.length)));
  return text.repeat(tape.pick(manyTimes));
}

const drawBytes = (tape: Tape): Uint8Array => {
  const bytes = new TextEncoder().encode(drawText(tape));
  const at = tape.below(bytes.byteLength + 1);
  return tape.once(2) ? bytes.slice(0, at) : Uint8Array.of(...bytes.subarray(0, 200), tape.byte());
};

/** May be empty; of at most 1,800 bytes. */
function drawKey(tape: Tape): string {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(drawBytes(tape));
  return text.replaceAll("\0", "").slice(0, 600).toWellFormed();
}

/** What a terminal might obey, or show in another order than it is: newlines are the terminal's. */
// oxlint-disable-next-line no-control-regex
const unsafe = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

function assertSafe(text: string, what: string): void {
  const found = unsafe.exec(text);
  const place = found
    ? JSON.stringify(text.slice(Math.max(0, found.index - 20), found.index + 20))
    : "";
  assert.ok(found === null, `${what}: ${place}`);
}

/** A line is a command, nothing, or a problem with a place in the line and words for a person. */
export function checkParser(tape: Tape): void {
  const line = drawText(tape);
  const parsed = parseLine(line);
  if (!parsed.ok) {
    const { column, detail, advice } = parsed;
    if (column !== null) assert.ok(column >= 1 && column <= line.length + 1, `column ${column}`);
    assert.ok(detail.length > 5 && advice.length > 5, "it says what is wrong and what is right");
    assert.ok(detail.length + advice.length < 500, "in a few words");
    assertSafe(renderProblem(parsed), "a problem");
    return;
  }
  const { command } = parsed;
  if (command === null) assert.match(line, /^[ \t]*$/);
  else if ("key" in command) assert.ok(command.key.length > 0 && !command.key.includes("\0"));
}

/** What is shown as a word reads back as that word, and different values look different. */
export function checkRendering(tape: Tape): void {
  const value = drawBytes(tape);
  const key = drawKey(tape);
  const shownKey = renderKey(key);
  assertSafe(shownKey, "a key");
  if (key !== "") {
    assert.equal(parseLine(`get ${shownKey}`), {
      ok: true,
      command: { name: "get", key, options: {} },
    });
  }
  const start = renderKeyStart(key);
  if (start !== "") {
    const whole = start.startsWith('"') ? `${start}"` : start;
    const command = { name: "list", options: { prefix: key } };
    assert.equal(parseLine(`list ${whole}`), { ok: true, command });
  }
  const asJson = jsonLine({ key });
  assertSafe(asJson, "a line of JSON");
  assert.equal(JSON.parse(asJson), { key });
  assertSafe(renderListedValue(value), "a listed value");
  assert.ok(renderListedValue(value).length < 2_000, "a listed value is short");
  const shownValue = renderValue(value);
  assertSafe(renderLine(shownValue), "a value above the prompt");
  assertSafe(shownValue, "a value");
  assert.ok(shownValue !== "not found" && !shownValue.startsWith("error: "), "a value is a value");
  if (value.byteLength > 100_000) return;
  const text = decoded(value);
  if (shownValue !== text) {
    const put = { name: "put", key: "k", value: new Uint8Array(value) };
    const command = { ...put, options: {} };
    assert.equal(parseLine(`put k ${shownValue}`), { ok: true, command }, "the quotes read back");
  }
  const imitation = new TextEncoder().encode(shownValue);
  const isSame = Buffer.compare(imitation, value) === 0;
  assert.ok(isSame || renderValue(imitation) !== shownValue, "two values look the same");
}

function decoded(value: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    return null;
  }
}

/** The same keys come out however the terminal's bytes were cut, and of all text typed none is lost. */
export function checkKeys(tape: Tape): void {
  const text = drawText(tape, 20);
  const bytes = new TextEncoder().encode(text.slice(0, 1 << 16));
  assert.equal(eventsOf(chunksOf(bytes, tape)), eventsOf([bytes]), "the cuts change nothing");
  const plain = [...text.slice(0, 1_000).toWellFormed()]
    .filter((character) => character !== "\n" && !unsafe.test(character))
    .join("");
  const typed = eventsOf([new TextEncoder().encode(plain)]);
  assert.equal(typed, plain === "" ? [] : [{ type: "text", text: plain }]);
}

function eventsOf(chunks: readonly Uint8Array[]): KeyEvent[] {
  const keys = new KeyDecoder();
  const joined: KeyEvent[] = [];
  for (const chunk of chunks) {
    for (const event of keys.push(chunk)) {
      const last = joined.at(-1);
      if (event.type === "text" && last?.type === "text") {
        joined[joined.length - 1] = { type: "text", text: last.text + event.text };
      } else joined.push(event);
    }
  }
  return joined;
}

const editorKeys: readonly EditorKey[] = [
  "left",
  "right",
  "wordLeft",
  "wordRight",
  "home",
  "end",
  "previous",
  "next",
  "backspace",
  "delete",
  "killToStart",
  "killToEnd",
  "killWord",
  "killWordAfter",
  "yank",
];

/** The cursor stays in the line and out of characters, and what is drawn fits into its row. */
export function checkEditor(tape: Tape): void {
  const editor = new LineEditor(["put k v", "a\u0301😀", ""]);
  for (let acts = 1 + tape.below(20); acts > 0; acts--) {
    if (tape.once(2)) editor.insert(drawText(tape, 6).toWellFormed());
    else editor.press(tape.pick(editorKeys));
    const { text, cursor } = editor;
    assert.ok(cursor >= 0 && cursor <= text.length, `the cursor is at ${cursor}`);
    assert.ok(text.length <= lineBytesMax + 1, `${text.length} characters are kept`);
    assert.ok(text.isWellFormed(), "no character is cut in two");
    const columns = tape.pick([3, 19, 79, 500]);
    const window = windowOf(text, cursor, columns);
    assertSafe(window.text, "the line as it is drawn");
    assert.ok(columnsOf(window.text) <= columns, `${columnsOf(window.text)} of ${columns} columns`);
    assert.ok(window.columnsBefore >= 0 && window.columnsBefore <= columns);
    assert.ok(window.text.length <= 64 * columns, `${window.text.length} characters for a row`);
  }
}

const never = (): AbortSignal => new AbortController().signal;

/** What Tab puts into the line is a word that means what was found. */
export async function checkCompletion(tape: Tape): Promise<void> {
  const store = new MemoryStore();
  for (let count = tape.below(4); count > 0; count--) {
    const key = drawKey(tape);
    if (key !== "") store.values.set(key, new Uint8Array(1));
  }
  const before = tape.once(2) ? drawText(tape) : `get ${drawText(tape, 3)}`;
  const completion = await completer(store, never)(before);
  if (completion === null) return;
  const { start, text, candidates } = completion;
  assert.ok(start >= 0 && start <= before.length);
  assertSafe(text, "a completion");
  for (const candidate of candidates) assertSafe(candidate, "a candidate");
  if (candidates.length !== 1 || !/^[ \t]*get[ \t]/.test(before)) return;
  const parsed = parseLine(before.slice(0, start) + text);
  assert.ok(parsed.ok, "what is completed parses");
  if (!parsed.ok || parsed.command?.name !== "get") return;
  assert.ok(store.values.has(parsed.command.key), "and names what was found");
}

/** Lines in, an answer each, the same however the pipe was cut. */
export async function checkPipe(tape: Tape): Promise<void> {
  const bytes = drawBytes(tape);
  const lines = (chunks: readonly Uint8Array[]): string[] => {
    const splitter = new LineSplitter();
    const found = chunks.flatMap((chunk) => [...splitter.push(chunk)]);
    const last = splitter.end();
    return [...found, ...(last ? [last] : [])].map((line) => (line.ok ? line.text : line.reason));
  };
  const whole = lines([bytes]);
  assert.equal(lines(chunksOf(bytes, tape)), whole);
  const store = new MemoryStore();
  store.values.set("k", drawBytes(tape));
  for (const line of whole.slice(0, 20)) {
    const { text } = await execute(store, line, { columns: 80 });
    if (text !== null) assertSafe(text, "an answer");
  }
}

class Input extends EventEmitter {
  pause(): void {}
  resume(): void {}
}

class Output extends EventEmitter {
  readonly columns = 80;
  text = "";
  write(text: string): void {
    this.text += text;
  }
}

/** Whatever is typed, pasted or stored: the terminal gets our own sequences and no others. */
export async function checkTerminal(tape: Tape): Promise<void> {
  const input = new Input();
  const output = new Output();
  const store = new MemoryStore();
  store.values.set("k", drawBytes(tape));
  const prompt = (): string => "kv[1 leader]> ";
  const session = runTerminal({ store, prompt, input, output, historyPath: null });
  const typed = new TextEncoder().encode(`get k\r${drawText(tape)}`.slice(0, 1 << 15));
  for (const chunk of chunksOf(typed, tape).slice(0, 200)) input.emit("data", chunk);
  session.printAbove(drawText(tape));
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
  session.close();
  // oxlint-disable-next-line no-control-regex
  const others = output.text.replace(/\x1b\[(?:2K|H|2J|\d+C|\?2004[hl])|\r/g, "");
  assertSafe(others, "the terminal");
}
