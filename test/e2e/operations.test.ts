/** Conditions, atoms, transactions and ranges on the executable: any node, over HTTP and from a shell. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import * as assert from "uvu/assert";
import { test } from "uvu";
import { Cluster, type ClusterNode } from "./cluster.ts";
import { cleanEnvironment, commandOf } from "./executable.ts";
import { ask } from "./http.ts";
import { scenario, shared } from "./scope.ts";

const cluster = shared((scope) => Cluster.start(scope));
const asJson = { "Content-Type": "application/json" };

async function kv(words: readonly string[], input = ""): Promise<[code: unknown, out: string]> {
  const [program, ...args] = commandOf("executable");
  const ports = cluster().nodes.map(({ httpPort }) => `127.0.0.1:${httpPort}`);
  const environment = cleanEnvironment({ KV_ENDPOINTS: ports.join(",") });
  const child = spawn(program, [...args, ...words], { env: environment });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [unknown];
  return [code, out];
}

scenario("of writers with the same ETag one wins, whichever nodes they ask", async () => {
  const revision = await cluster().node(1).mustPut("contested", "start");
  const headers = { "If-Match": `"${revision}"` };
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, at) =>
      cluster()
        .node((at % 3) + 1)
        .put("contested", `writer ${at}`, { headers }),
    ),
  );
  const won = answers.filter(({ status }) => status === 200);
  assert.equal([won.length, answers.filter(({ status }) => status === 412).length], [1, 29]);
  const etag = won[0]?.headers.etag;
  for (const { status, headers: answered } of answers) {
    if (status === 412) assert.is(answered.etag, etag);
  }
});

scenario("a counter that all nodes are asked to count counts each of them once", async () => {
  const increments = Array.from({ length: 90 }, (_, at) => {
    const { httpPort } = cluster().node((at % 3) + 1);
    return ask(httpPort, "POST", "/v1/kv/visits?op=incr");
  });
  const values = (await Promise.all(increments)).map((answer) => Number(answer.json()["value"]));
  assert.equal(
    values.sort((a, b) => a - b),
    Array.from({ length: 90 }, (_, at) => at + 1),
  );
});

scenario("money moves between accounts by transactions and is never lost or made", async () => {
  const move = (node: ClusterNode, from: string, to: string) => {
    const then = [
      { op: "incr", key: from, by: -1, min: 0 },
      { op: "incr", key: to },
    ];
    const body = JSON.stringify({ then });
    return ask(node.httpPort, "POST", "/v1/txn", { body, headers: asJson });
  };
  await cluster().node(1).mustPut("account/a", "5");
  await cluster().node(1).mustPut("account/b", "5");
  const moves = Array.from({ length: 60 }, (_, at) => {
    const node = cluster().node((at % 3) + 1);
    return at % 3 === 0
      ? move(node, "account/a", "account/b")
      : move(node, "account/b", "account/a");
  });
  const statuses = (await Promise.all(moves)).map(({ status }) => status);
  assert.ok(statuses.includes(409), "some account was empty");
  for (const node of cluster().nodes) {
    const body = JSON.stringify({ then: [{ op: "range", prefix: "account/" }] });
    const answer = await ask(node.httpPort, "POST", "/v1/txn", { body, headers: asJson });
    const [{ rows }] = answer.json()["results"] as [{ rows: { value: string }[] }];
    assert.is(
      rows.reduce((sum, { value }) => sum + Number(value), 0),
      10,
    );
  }
});

scenario("half a transaction's body changes nothing", async () => {
  const { httpPort } = cluster().node(2);
  const body = JSON.stringify({ then: [{ op: "put", key: "half", value: "v" }] });
  const headers = { ...asJson, "Content-Length": String(body.length + 1) };
  await ask(httpPort, "POST", "/v1/txn", { body, headers, timeoutMs: 300 }).catch(() => null);
  assert.is((await cluster().node(1).get("half")).status, 404);
});

scenario("thousands of rows come line by line, are counted and deleted", async () => {
  const put = (at: number) => ({
    op: "put",
    key: `many/${String(at).padStart(4, "0")}`,
    value: "v",
  });
  for (let from = 0; from < 2_560; from += 128) {
    const then = Array.from({ length: 128 }, (_, at) => put(from + at));
    const body = JSON.stringify({ then });
    const answer = await ask(cluster().node(1).httpPort, "POST", "/v1/txn", {
      body,
      headers: asJson,
    });
    assert.is(answer.status, 200, answer.text);
  }
  const { httpPort } = cluster().node(3);
  const lines = await ask(httpPort, "GET", "/v1/kv?prefix=many/", {
    headers: { Accept: "application/x-ndjson" },
  });
  const keys = lines.text
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { key: string }).key);
  assert.is(keys.length, 2_560);
  assert.equal(keys, [...keys].sort());
  const counted = await ask(httpPort, "GET", "/v1/kv?prefix=many/&count");
  assert.is(counted.json()["count"], 2_560);
  const deleted = await ask(httpPort, "DELETE", "/v1/kv?prefix=many/");
  assert.is(deleted.json()["deleted"], 2_560);
  assert.is((await ask(httpPort, "GET", "/v1/kv?prefix=many/&count")).json()["count"], 0);
});

scenario("all of it is there after every node was started again", async () => {
  const before = await ask(cluster().node(1).httpPort, "POST", "/v1/kv/durable?op=incr&by=7");
  assert.is(before.json()["value"], 7);
  for (const node of cluster().nodes) await node.kill();
  for (const node of cluster().nodes) node.start();
  await cluster().whole();
  const after = await ask(cluster().node(2).httpPort, "POST", "/v1/kv/durable?op=incr");
  assert.is(after.json()["value"], 8);
});

scenario("a shell counts, deletes ranges and runs transactions", async () => {
  assert.equal(await kv(["incr", "shell/n", "5"]), [0, "5\n"]);
  assert.equal(await kv(["incr", "shell/n", "-7"]), [0, "-2\n"]);
  const guarded = { if: [{ key: "shell/n", value: "-2" }], then: [{ op: "get", key: "shell/n" }] };
  const [code, out] = await kv(["txn", "-o", "json"], JSON.stringify(guarded));
  assert.is(code, 0, out);
  assert.is((JSON.parse(out) as { succeeded: boolean }).succeeded, true);
  const [refused] = await kv(["txn"], '{"if": [{"key": "none", "exists": true}]}');
  assert.is(refused, 1);
  const [wrong, why] = await kv(["txn"], '{"then": [{"op": "fly"}]}');
  assert.equal([wrong, /then\[0\]\.op/.test(why)], [2, true], why);
  const [deleted, told] = await kv(["delrange", "shell/"]);
  assert.is(deleted, 0);
  assert.match(told, /^deleted 1, revision \d+\n$/);
});

test.run();
