/** `get --wait` at the prompt: what has changed, that nothing has, or why nobody knows. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";
import { parseLine } from "../../repl/parser.ts";
import { Session } from "../../repl/session.ts";
import type { Failure } from "../../server/client-port.ts";
import type { Clock } from "../../server/ports.ts";
import { MemoryStore } from "./memory-store.ts";

/** For no terminal, and for nobody who gives up. */
const plain = { columns: null };

/** Whose timers the process stays alive for: nothing else goes on while nothing changes. */
const wakefulClock: Clock = {
  ...systemClock,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

function watched(clock = systemClock): { readonly store: MemoryStore; readonly session: Session } {
  const store = new MemoryStore();
  store.beginWatches(clock);
  return { store, session: new Session(store) };
}

test("what has changed behind the revision is shown at once", async () => {
  const { session } = watched();
  await session.execute("put k one", plain);
  await session.execute("put k two", plain);
  assert.is((await session.execute("get k --wait 10m --after 1", plain)).text, "two");
});

test("a change is shown when it comes", async () => {
  const { store, session } = watched();
  const watching = Promise.withResolvers<void>();
  const open = store.watched;
  store.watched = (asked) => open(asked).finally(watching.resolve);
  const shown = session.execute("get k --wait 10m", plain);
  await watching.promise;
  await store.put("k", new TextEncoder().encode("new"));
  assert.is((await shown).text, "new");
});

test("where nothing comes it says so, and a value of that name is told from it", async () => {
  const { session } = watched(wakefulClock);
  await session.execute("put k unchanged", plain);
  assert.is((await session.execute("get k --wait 1ms --after 1", plain)).text, "unchanged");
  assert.is((await session.execute("get k", plain)).text, '"unchanged"');
  await session.execute(".mode json", plain);
  const { text } = await session.execute("get k --wait 1ms --after 1", plain);
  assert.is(text, '{"key":"k","changed":false}');
});

test("a watch that ends because nobody answers any more is no sign that nothing came", async () => {
  const { store, session } = watched();
  const lost: Failure = { ok: false, code: "no_leader", detail: "there is no leader" };
  const none = { async *[Symbol.asyncIterator]() {} };
  store.watched = async () => {
    store.failure = lost;
    return { ok: true, batches: none };
  };
  assert.match(String((await session.execute("get k --wait 1s", plain)).text), /no leader/);
});

test("what has changed meanwhile is shown, though no watch of it came about in time", async () => {
  const { store, session } = watched();
  const late: Failure = { ok: false, code: "unreachable", detail: "the time was over" };
  store.watched = async ({ forMs = 0 }) => {
    await store.put("k", new TextEncoder().encode("new"));
    return new Promise((resolve) => setTimeout(() => resolve(late), forMs + 20));
  };
  assert.is((await session.execute("get k --wait 10ms", plain)).text, "new");
  assert.is((await session.execute("get k --wait 10ms --after 1", plain)).text, "new");
});

test("a watch that cannot come about is told before its time is over", async () => {
  const { store, session } = watched();
  const many: Failure = { ok: false, code: "overloaded", detail: "too many watch already" };
  store.watched = async () => many;
  const { text } = await session.execute("get k --wait 10m", plain);
  assert.is(text, "error: too many watch already");
});

test("who gives up waiting ends the watch with it", async () => {
  const { store, session } = watched();
  const given = new AbortController();
  const open = store.watched;
  let watch: AbortSignal | undefined;
  store.watched = (asked) => {
    watch = asked.signal;
    return open(asked).finally(() => given.abort());
  };
  const { text } = await session.execute("get k --wait 10m", { ...plain, signal: given.signal });
  assert.is(text, "error: interrupted");
  assert.is(watch?.aborted, true);
});

test("a revision without a wait, and a wait that is none, are refused", () => {
  for (const [line, says] of [
    ["get k --after 3", /--after goes with --wait/],
    ["get k --wait 0", /no value of --wait/],
    ["get k --wait 11m", /up to 10m/],
    ["get k --wait 1s --after k", /no value of --after/],
  ] as const) {
    const parsed = parseLine(line);
    assert.match(parsed.ok ? "" : `${parsed.detail}; ${parsed.advice}`, says, line);
  }
});

test.run();
