/** `watch` at the prompt: a line for each change, until the person has seen enough. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";
import { execute } from "../../repl/execute.ts";
import { index } from "../../server/raft/entry.ts";
import type { Mode } from "../../repl/mode.ts";
import type {
  WatchBatches,
  WatchEvent,
  WatchOptions,
  WatchOver,
} from "../../server/watch/watch-port.ts";
import { MemoryStore } from "./memory-store.ts";

const at = index(7);
const row = {
  ...{ key: "a b", value: new TextEncoder().encode("one\n"), contentType: null },
  ...{ revision: at, createRevision: at },
};
const nothing = { before: null, revisionsBefore: null };
const changes: WatchEvent[] = [
  { type: "progress", revision: at },
  { type: "put", key: "a b", row, revision: at, isLast: true, ...nothing },
  { type: "delete", key: "c", row: null, revision: at, isLast: true, ...nothing },
];

async function watched(...batches: (readonly (WatchEvent | WatchOver)[])[]) {
  return watchedBy("watch a", "text", ...batches);
}

async function watchedBy(
  line: string,
  mode: Mode,
  ...batches: (readonly (WatchEvent | WatchOver)[])[]
) {
  const store = new MemoryStore();
  const asked: WatchOptions[] = [];
  store.watched = async (given) => {
    const { signal: _, ...options } = given;
    asked.push(options);
    const batchesGiven = (async function* (): WatchBatches {
      for (const batch of batches) yield batch;
    })();
    return { ok: true, batches: batchesGiven };
  };
  const shown: string[] = [];
  const { signal } = new AbortController();
  const print = async (text: string): Promise<void> => void shown.push(text);
  const settings = { mode, showsTime: false };
  const { text } = await execute(store, line, { columns: 80, signal, print, settings });
  return { asked, shown, text };
}

test("a line for each change, and their number at the end", async () => {
  const { asked, shown, text } = await watched(changes, [{ type: "progress", revision: at }]);
  assert.equal(asked, [{ prefix: "a" }]);
  assert.equal(shown, ['7 put "a b" = "one\\n"\n7 delete c']);
  assert.is(text, "(2 changes)");
});

test("its flags are what is asked for, and what stood there before is shown", async () => {
  const was = { ...row, value: new TextEncoder().encode("zero") };
  const change: WatchEvent = { ...changes[1], before: was } as WatchEvent;
  const { asked, shown } = await watchedBy("watch --key 'a b' --since 3 --prev", "text", [change]);
  assert.equal(asked, [{ key: "a b", since: 3, before: true }]);
  assert.equal(shown, ['7 put "a b" = "one\\n" (was zero)']);
});

test("in the mode for programs each change is a line of JSON", async () => {
  const { shown } = await watchedBy("watch", "json", changes);
  assert.equal(shown.join("\n").split("\n"), [
    '{"type":"put","key":"a b","value":"one\\n","revision":7,"last":true}',
    '{"type":"delete","key":"c","revision":7,"last":true}',
  ]);
});

test("the reason why it is over is an error", async () => {
  const failure = { ok: false, code: "no_leader", detail: "this node is stopping" } as const;
  const { text } = await watched([{ type: "over", failure }]);
  assert.is(text, "error: this node is stopping");
});

test("where nobody can end it, it does not begin", async () => {
  const store = new MemoryStore();
  const { text } = await execute(store, "watch", { columns: null });
  assert.match(text ?? "", /^error: watch goes on until Ctrl-C/);
});

test("who leads is shown, and everyone who comes to lead, until Ctrl-C", async () => {
  const store = new MemoryStore();
  store.beginWatches(systemClock);
  const given = new AbortController();
  const shown: string[] = [];
  const election = { kind: "election", name: "e" } as const;
  const asked = { value: new TextEncoder().encode("me"), lease: null, ttlMs: 60_000, waitMs: 0 };
  const steps = [
    () => store.sessions.enter(election, asked),
    () => store.sessions.leave(election, 1),
  ];
  const print = async (text: string): Promise<void> => {
    shown.push(text);
    const step = steps.shift();
    if (step === undefined) given.abort();
    else assert.ok((await step()).ok);
  };
  const { signal } = given;
  const { text } = await execute(store, "election watch e", { columns: 80, signal, print });
  assert.equal(shown, ["0 nobody leads", "1 me (token 1)", "2 nobody leads"]);
  assert.is(text, "(3 changes)");
});

test.run();
