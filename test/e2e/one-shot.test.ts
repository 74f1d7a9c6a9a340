/** One-shot commands ask what HTTP has to ask, with the flags that the prompt has too. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { serve } from "../server/raw-http.ts";
import { commandOf } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { scenario } from "./scope.ts";

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

scenario("conditions, times, numbers and ranges from a shell", async (scope) => {
  const { port, listener } = await serve();
  scope.onEnd(() => listener.close(0));
  for (const [words, code, says] of dialogue) {
    const child = new KvProcess(scope, {
      name: `kv ${words.join(" ")}`,
      command: [...commandOf("executable"), ...words, "--endpoints", `127.0.0.1:${port}`],
      directory: scope.temporaryDirectory(),
    });
    const ending = await child.endsWithin(commandMs);
    const said = child.stdout === "" ? child.stderr : child.stdout;
    assert.is(ending.code, code, `${words.join(" ")}: ${said}`);
    assert.match(said, says, words.join(" "));
  }
});

test.run();
