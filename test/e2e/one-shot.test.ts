/** One-shot commands ask what HTTP has to ask, with the flags that the prompt has too. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";
import { serve } from "../server/raw-http.ts";
import { commandOf } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { type Scope, scenario } from "./scope.ts";
import { until } from "./wait.ts";

const commandMs = 20_000;

/** The words, the exit code, and what is said: on standard output, or on standard error after 1. */
const dialogue: [words: string[], code: number, says: RegExp][] = [
  [["put", "k", "v", "--if-none-match", "*"], 0, /^created, revision 1\n$/],
  [["put", "k", "w", "--if-match=7"], 1, /revision 1.*not_applied/],
  [["put", "k", "w", "--ttl", "1h"], 0, /^replaced/],
  [["get", "k"], 0, /^w$/],
  [
    ["get", "k", "-o", "json"],
    0,
    /^\{"key":"k","value":"w",.*"createRevision":1,"ttlMs":3600000\}\n$/,
  ],
  [["list", "-o", "table"], 0, /^key.*goes in\n---[- ]*\nk +w +\d +1 h 0 min\n$/],
  [["touch", "k", "2h"], 0, /^goes in 2 h 0 min\n/],
  [["incr", "n", "-5", "--min", "-4"], 1, /below -4/],
  [["incr", "n", "5", "--idempotency-key", "once"], 0, /^5\n$/],
  [["max", "n", "9"], 0, /^9\n$/],
  [["min", "n", "-9"], 0, /^-9\n$/],
  [["append", "k", " and more"], 0, /^w and more\n$/],
  [
    ["list", "--reverse", "--keys-only", "--limit", "1"],
    0,
    /^n\n\(1 key, and more.*--after n\)\n$/,
  ],
  [["count"], 0, /^2\n$/],
  [["getdel", "k"], 0, /^w and more$/],
  [["getdel", "k"], 1, /^not found\n$/],
  [["delrange"], 2, /needs a prefix/],
  [["delrange", "--start", "a", "--end", "z"], 0, /^deleted 1/],
  [["list", "--limit", "many"], 2, /no value of --limit/],
  [["get", "k", "--ttl", "1s"], 2, /unknown flag --ttl/],
];

/** On a store that can be watched. */
const sessions: typeof dialogue = [
  [["get", "k", "--wait", "10ms", "-o", "json"], 1, /^\{"key":"k","changed":false\}\n$/],
  [["get", "k", "--after", "1"], 2, /--after goes with --wait/],
  [["lease", "grant", "1h"], 0, /^lease 1, for 1 h 0 min\n$/],
  [["put", "k", "v", "--lease", "1"], 0, /^created/],
  [["put", "k", "v", "--lease", "1", "--ttl", "1s"], 2, /--ttl does not go with --lease/],
  [["lease", "keepalive", "1", "-o", "json"], 0, /^\{"id":1,"ttlMs":3600000\}\n$/],
  [["lease", "show", "1", "-o", "json"], 0, /^\{"id":1,"ttlMs":3600000,"remainingMs":\d+\}\n$/],
  [["lease", "revoke", "1"], 0, /^revoked, 1 key deleted/],
  [["lease", "show", "1"], 1, /there is no lease 1/],
  [["lease", "grant", "soon"], 2, /granted for a time/],
  [["lock", "show", "a"], 1, /^free\n$/],
  [["lock", "acquire", "a", "--idempotency-key", "x"], 0, /^held, token 5, lease 5\n$/],
  [["lock", "acquire", "a", "--idempotency-key", "x"], 0, /^held, token 5, lease 5\n$/],
  [["lock", "acquire", "a", "--wait", "50ms"], 1, /somebody else is in front.*--wait/],
  [["lock", "show", "a", "-o", "json"], 0, /^\{"name":"a","holder":\{"token":5,"lease":5\},"wait/],
  [["lock", "release", "a", "4"], 1, /token 4 is not the one/],
  [["lock", "release", "a", "5"], 0, /^released/],
  [["lock", "deploy"], 2, /acquire NAME, show NAME, release NAME TOKEN/],
  [["election", "show", "e"], 1, /^nobody leads\n$/],
  [["election", "campaign", "e", "me"], 0, /^elected, token 12, lease 12\n$/],
  [["election", "proclaim", "e", "12", "still me"], 0, /^proclaimed/],
  [["election", "show", "e"], 0, /^still me$/],
  [["election", "resign", "e", "12"], 0, /^resigned/],
  [["lock", "acquire", "c", "--", "sh", "-c", "echo $KV_LOCK_TOKEN; exit 7"], 7, /^\d+\n$/],
  [["lock", "show", "c"], 1, /^free\n$/],
  [["lock", "acquire", "--", "-c-", "--", "echo", "-n", "hi"], 0, /^hi$/],
  [["lock", "acquire", "c", "--", "./none"], 127, /none cannot be run/],
  [["lock", "acquire", "c", "--"], 2, /no command behind --/],
  [["lock", "acquire", "c", "--lease", "3", "--", "true"], 2, /--lease does not go/],
  [["election", "campaign", "e", "me", "--", "sh", "-c", "kill -9 $$"], 137, /^$/],
];

async function ask(scope: Scope, sentences: typeof dialogue) {
  const { port, listener, store } = await serve();
  scope.onEnd(() => listener.close(0));
  store.beginWatches(systemClock);
  const run = (words: readonly string[]): KvProcess => {
    const mark = words.indexOf("--");
    const at = mark < 0 ? words.length : mark;
    const endpoints = ["--endpoints", `127.0.0.1:${port}`];
    return new KvProcess(scope, {
      name: `kv ${words.join(" ")}`,
      command: [
        ...commandOf("executable"),
        ...words.slice(0, at),
        ...endpoints,
        ...words.slice(at),
      ],
      directory: scope.temporaryDirectory(),
    });
  };
  for (const [words, code, says] of sentences) {
    const child = run(words);
    const ending = await child.endsWithin(commandMs);
    const said = child.stdout === "" ? child.stderr : child.stdout;
    assert.is(ending.code, code, `${words.join(" ")}: ${said}`);
    assert.match(said, says, `${words.join(" ")}: ${said}`);
  }
  return { store, run };
}

scenario("conditions, times, numbers and ranges from a shell", async (scope) => {
  await ask(scope, dialogue);
});

scenario("leases, locks and elections from a shell", async (scope) => {
  await ask(scope, sessions);
});

scenario("a lock is held while a command runs, and given back however that ends", async (scope) => {
  const { store, run } = await ask(scope, []);
  const isHeld = async (): Promise<boolean> => {
    const answer = await store.sessions.lockHolder("a");
    return answer.ok && answer.holder !== null;
  };
  const script = "trap 'echo told; exit 5' TERM; echo runs; while :; do sleep 0.05; done";
  const told = run(["lock", "acquire", "a", "--", "sh", "-c", script]);
  await told.says(/runs/, { within: commandMs });
  assert.ok(await isHeld());
  const waiting = run(["lock", "acquire", "a", "--wait", "1m", "--", "echo", "never"]);
  const waiters = async (): Promise<number> => {
    const answer = await store.sessions.lockHolder("a");
    return answer.ok ? answer.waiting : 0;
  };
  await until("one waits", commandMs, async () => (await waiters()) === 1);
  waiting.signal("SIGINT");
  assert.is((await waiting.endsWithin(commandMs)).code, 130);
  await until("nobody waits", commandMs, async () => (await waiters()) === 0);
  assert.is(waiting.stdout, "");
  told.signal("SIGTERM");
  assert.is((await told.endsWithin(commandMs)).code, 5);
  assert.match(told.stdout, /told/);
  assert.not(await isHeld());
});

scenario("a command is ended where its lock is lost", async (scope) => {
  const { store, run } = await ask(scope, []);
  const child = run([
    "lock",
    "acquire",
    "a",
    "--ttl",
    "300ms",
    "--",
    "sh",
    "-c",
    "echo runs; exec sleep 9",
  ]);
  await child.says(/runs/, { within: commandMs });
  const held = await store.sessions.lockHolder("a");
  assert.ok(held.ok && held.holder !== null);
  assert.ok((await store.sessions.revokeLease(held.holder.lease ?? 0)).ok);
  assert.is((await child.endsWithin(commandMs)).code, 3);
  assert.match(child.stderr, /is lost.*the command is ended/);
});

test.run();
