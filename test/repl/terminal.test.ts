/** The prompt on a terminal, with streams in its place. */

import { EventEmitter } from "node:events";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { nodePrompt, runTerminal, waitingLinesMax } from "../../repl/repl.ts";
import type { TerminalSession } from "../../repl/repl.ts";
import { MemoryStore } from "./memory-store.ts";

class Input extends EventEmitter {
  isRaw = false;
  isPaused = false;
  setRawMode(on: boolean): void {
    this.isRaw = on;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
}

class Output extends EventEmitter {
  readonly columns = 80;
  text = "";
  write(text: string): void {
    this.text += text;
  }

  /** The rows of a screen without end, as the sequences of ours draw them. */
  rows(): string[] {
    const rows = [""];
    // oxlint-disable-next-line no-control-regex
    for (const part of this.text.match(/\x1b\[[?0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+/g) ?? []) {
      if (part === "\n") rows.push("");
      else if (part === "\x1b[2K") rows[rows.length - 1] = "";
      else if (!part.startsWith("\x1b") && part !== "\r") rows[rows.length - 1] += part;
    }
    return rows;
  }
}

class Screen {
  readonly input = new Input();
  readonly output = new Output();
  readonly store = new MemoryStore();
  role = "follower";
  readonly session: TerminalSession;
  /** "exit" once the session has ended. */
  ended = "";

  constructor() {
    const prompt = (): string => nodePrompt(1, this.role);
    const { store, input, output } = this;
    this.session = runTerminal({ store, prompt, input, output, historyPath: null });
    void this.session.ended.then((how) => (this.ended = how));
  }

  type(text: string | Uint8Array): void {
    this.input.emit("data", Buffer.from(text));
  }

  last(): string {
    return this.output.rows().at(-1) ?? "";
  }

  /** Waits until the last rows are these. */
  async shows(...rows: string[]): Promise<void> {
    await until(
      () => this.output.rows().slice(-rows.length).join("\n") === rows.join("\n"),
      () => this.output.rows().slice(-10).join("\n"),
    );
  }
}

/** A turn of the event loop at a time, so that a failure does not hang. */
async function until(condition: () => boolean, describe: () => string): Promise<void> {
  const deadline = AbortSignal.timeout(5_000);
  while (!condition()) {
    if (deadline.aborted) throw new Error(`it did not come to be; there is:\n${describe()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const prompt = "kv[1 follower]> ";

test("a line is run and answered, and the prompt comes again", async () => {
  const screen = new Screen();
  screen.type("put a 1\r");
  await screen.shows(`${prompt}put a 1`, "created, revision 1", prompt);
});

test("the terminal is raw while the prompt is open, and given back after", async () => {
  const screen = new Screen();
  assert.is(screen.input.isRaw, true);
  screen.type("exit\r");
  await until(
    () => screen.ended === "exit",
    () => screen.output.text,
  );
  assert.is(screen.input.isRaw, false);
  assert.is(screen.input.isPaused, true);
  assert.ok(screen.output.text.endsWith("\x1b[?2004l"));
});

test("a role that changes is drawn without losing the line", () => {
  const screen = new Screen();
  screen.type("put a");
  screen.role = "leader";
  screen.session.refresh();
  assert.is(screen.last(), "kv[1 leader]> put a");
});

test("a log line is printed above the line being typed, its escape codes escaped", () => {
  const screen = new Screen();
  screen.type("put a");
  screen.session.printAbove("info: \x1b[2Jhello\n");
  assert.equal(screen.output.rows().slice(-2), ["info: \\x1b[2Jhello", `${prompt}put a`]);
});

test("the lines of a paste run in order and none is lost, the last one waits for Enter", async () => {
  const screen = new Screen();
  screen.type("\x1b[200~put a 1\nput b\t2\r\nput c 3\rlist\x1b[201~");
  await until(
    () => screen.store.calls.length === 3,
    () => screen.output.text,
  );
  await screen.shows(
    `${prompt}put b␉2`,
    "created, revision 2",
    `${prompt}put c 3`,
    "created, revision 3",
    `${prompt}list`,
  );
  assert.equal(screen.store.calls, ["put a", "put b", "put c"]);
});

test("while too many lines wait the keyboard is not read", async () => {
  const screen = new Screen();
  const lines = Array.from({ length: waitingLinesMax + 10 }, (_, count) => `put k${count} v\r`);
  screen.type(lines.join(""));
  assert.is(screen.input.isPaused, true);
  await until(
    () => screen.store.rows.size === lines.length,
    () => screen.last(),
  );
  assert.is(screen.input.isPaused, false);
});

test("Ctrl-C drops the line, and on an empty line tells how to leave", async () => {
  const screen = new Screen();
  screen.type("put a 1\x03");
  await screen.shows(`${prompt}put a 1^C`, prompt);
  screen.type("\x03");
  await screen.shows("exit or Ctrl-D leaves", prompt);
  assert.is(screen.ended, "");
  assert.equal(screen.store.calls, []);
});

test("Ctrl-C gives up a command that hangs, says that it may have happened, drops the rest", async () => {
  const screen = new Screen();
  screen.store.gate = new Promise(() => {});
  screen.type("put a 1\rput b 1\r");
  screen.type("\x03");
  await screen.shows(
    "1 waiting line was dropped",
    "error: interrupted; the write may have happened: get the key to see",
    prompt,
  );
  assert.equal(screen.store.calls, ["put a"]);
});

test("what is typed while a command runs stays below its answer", async () => {
  const screen = new Screen();
  const { promise, resolve } = Promise.withResolvers<void>();
  screen.store.gate = promise;
  screen.type("put a 1\rget");
  resolve();
  await screen.shows(`${prompt}put a 1`, "created, revision 1", `${prompt}get`);
});

test("Ctrl-D ends on an empty line, after the lines that wait", async () => {
  const screen = new Screen();
  screen.type("put a 1\rput b 1\r\x04");
  await until(
    () => screen.ended === "exit",
    () => screen.output.text,
  );
  assert.is(screen.store.rows.size, 2);
});

test("Ctrl-D inside a line deletes a character", () => {
  const screen = new Screen();
  screen.type("abc\x01\x04");
  assert.is(screen.last(), `${prompt}bc`);
});

test("a terminal that goes away ends the prompt", async () => {
  const screen = new Screen();
  screen.input.emit("close");
  await until(
    () => screen.ended === "exit",
    () => screen.output.text,
  );
});

test("the history comes back with the arrow, and the line being typed after it", async () => {
  const screen = new Screen();
  screen.type("get a\r");
  await screen.shows("not found", prompt);
  screen.type("pu\x1b[A");
  assert.is(screen.last(), `${prompt}get a`);
  screen.type("\x1b[B");
  assert.is(screen.last(), `${prompt}pu`);
});

test("Tab completes, and keys pressed meanwhile mean what they would have meant after", async () => {
  const screen = new Screen();
  screen.store.values.set("greeting", Buffer.from("hello"));
  screen.type("get gr\t\r");
  await screen.shows(`${prompt}get greeting `, "hello", prompt);
});

test("Tab cuts what could be meant to the width of the terminal", async () => {
  const screen = new Screen();
  const long = "k".repeat(2_000);
  for (const end of ["1", "2"]) screen.store.values.set(`${long}${end}`, new Uint8Array());
  screen.type(`get ${long}\t`);
  const cut = `${"k".repeat(78)}…`;
  await until(
    () => screen.output.rows().includes(`${cut}  ${cut}`),
    () => screen.output.rows().slice(-5).join("\n"),
  );
});

test("Tab shows what could be meant", async () => {
  const screen = new Screen();
  for (const key of ["k1", "k2"]) screen.store.values.set(key, new Uint8Array());
  screen.type("get k\t");
  await screen.shows("k1  k2", `${prompt}get k`);
});

test("an escape sequence cut in two is one key", () => {
  const screen = new Screen();
  screen.type("abd\x1b");
  screen.type("[");
  screen.type("Dc");
  assert.is(screen.last(), `${prompt}abcd`);
});

test("wide characters put the cursor where it belongs", () => {
  const screen = new Screen();
  screen.type("日本😀e\u0301");
  assert.ok(screen.output.text.endsWith(`\r\x1b[${prompt.length + 2 + 2 + 2 + 1}C`));
});

test("the cursor and Backspace step over whole characters", () => {
  const screen = new Screen();
  screen.type("a👨‍👩‍👧e\u0301\x7f\x7f");
  assert.is(screen.last(), `${prompt}a`);
});

test("a line wider than the terminal shows the part around the cursor", () => {
  const screen = new Screen();
  screen.type("0123456789".repeat(20));
  assert.ok(screen.last().length < 80);
  assert.ok(screen.last().endsWith("0123456789"));
  screen.type("\x01");
  assert.ok(screen.last().startsWith(`${prompt}0123456789`));
});

test("pasted escape codes are drawn as pictures and stored as they are", async () => {
  const screen = new Screen();
  screen.type("\x1b[200~put a \x1b[2J\x1b[201~");
  assert.is(screen.last(), `${prompt}put a ␛[2J`);
  screen.type("\r");
  await screen.shows("created, revision 1", prompt);
  assert.equal(screen.store.values.get("a"), Uint8Array.from(Buffer.from("\x1b[2J")));
});

test("an overlong line is refused and never run without its end", async () => {
  const screen = new Screen();
  screen.type(`put a ${"x".repeat(1_000)}`);
  for (let count = 0; count < 5; count++) screen.type("y".repeat(1_000_000));
  screen.type("\r");
  await until(
    () => /longer than \d+ bytes/.test(screen.output.rows().at(-2) ?? ""),
    () => screen.output.rows().slice(-3).join("\n"),
  );
  assert.equal(screen.store.calls, []);
});

test.run();
