/** One-shot reads from nodes that are not recent enough: they say so, and are not taken for dead. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { inTime } from "../../cmd/client-commands.ts";
import { parseWords, type Question } from "../../repl/parser.ts";
import { ask } from "../../repl/reply.ts";
import type { Failure, ReadOptions } from "../../server/client-port.ts";
import { HttpClient } from "../../server/http-client.ts";
import { serve } from "../server/raw-http.ts";

const forMs = 600;
const stale: Failure = { ok: false, code: "stale", detail: "this node has not reached it in time" };

/** As a node does, which has a time of its own where it is not told. */
const held = ({ timeoutMs = 5_000 }: ReadOptions = {}): Promise<Failure> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(stale), timeoutMs).unref();
  });

for (const name of ["get", "list", "count"] as const) {
  test(`${name} tells each node how long it may wait`, async () => {
    const nodes = await Promise.all([serve(), serve(), serve()]);
    for (const { store } of nodes) {
      store.get = (_key, options) => held(options);
      store.list = held;
      store.count = held;
    }
    const parsed = parseWords(name, ["k"], new Map([["min-revision", "999999999"]]));
    assert.ok(parsed.ok);
    const endpoints = nodes.map(({ port }) => `http://127.0.0.1:${port}`);
    const client = new HttpClient(endpoints, { timeoutMs: forMs });
    const question = inTime(parsed.command as Question, { endpoints: endpoints.length, forMs });
    const { code, detail } = (await ask(client, question as Question)) as Failure;
    assert.equal([code, detail], ["stale", stale.detail]);
    client.close();
    for (const { listener } of nodes) await listener.close(0);
  });
}

test("a read of what there is now is asked for as it is", () => {
  const parsed = parseWords("get", ["k"], new Map([["level", "local"]]));
  assert.ok(parsed.ok);
  assert.equal(inTime(parsed.command as Question, { endpoints: 3 }), parsed.command);
});

test.run();
