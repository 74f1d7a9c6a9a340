/** Commands through a pipe: lines in, answers out, and the node goes on serving. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster, type ClusterNode, stopMs } from "./cluster.ts";
import { commandOf, type Form } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { type Scope, scenario, shared } from "./scope.ts";
import { until } from "./wait.ts";

const cluster = shared(async (scope) => {
  const prepared = await Cluster.prepare(scope);
  for (const node of prepared.nodes) node.start({ input: "pipe" });
  await prepared.whole();
  return prepared;
});

/** Writes the lines and waits until the answer to the last, a value of our own, has come. */
async function run(node: ClusterNode, ...lines: string[]): Promise<string> {
  const from = node.process.stdout.length;
  const marker = `end-${node.id}-${from}`;
  for (const line of [...lines, `put marker ${marker}`, "get marker"]) {
    node.process.write(`${line}\n`);
  }
  const said = await node.process.says(new RegExp(`[\\s\\S]*^${marker}$`, "m"), {
    from,
    within: 10_000,
  });
  return said;
}

scenario("the lines are executed and their results come on standard output", async () => {
  const said = await run(cluster().node(1), 'put greeting "hello world"', "get greeting");
  assert.match(said, /^hello world$/m);
  assert.is((await cluster().node(2).get("greeting")).text, "hello world");
});

scenario("what is put on one node is got on every other", async () => {
  for (const writer of cluster().nodes) {
    await run(writer, `put from-${writer.id} "by ${writer.id}"`);
    for (const reader of cluster().nodes) {
      assert.match(
        await run(reader, `get from-${writer.id}`),
        new RegExp(`^by ${writer.id}$`, "m"),
      );
    }
  }
});

scenario("quotes and escapes are a shell's", async () => {
  const node = cluster().node(1);
  const cases: [line: string, value: string][] = [
    [`put q 'single "quoted" words'`, 'single "quoted" words'],
    [`put q "double 'quoted' words"`, "double 'quoted' words"],
    [String.raw`put q "a \"quote\" and a \\ backslash"`, 'a "quote" and a \\ backslash'],
    [String.raw`put q one\ word`, "one word"],
    [`put q pre"fix and "'suffix'`, "prefix and suffix"],
    [`put q ""`, ""],
    [`put q ''`, ""],
    ["put   q    blanks  ", "blanks"],
    ["put q ä😀", "ä😀"],
    ["put q -5", "-5"],
  ];
  for (const [line, value] of cases) {
    await node.mustPut("q", "before");
    await run(node, line);
    assert.is((await node.get("q")).text, value, line);
  }
});

scenario("words that begin with a dash are plain words", async () => {
  await run(cluster().node(1), "put --key --value");
  assert.is((await cluster().node(2).get("--key")).text, "--value");
});

scenario("a value of two words without quotes stores nothing and speaks of quotes", async () => {
  const said = await run(cluster().node(1), "put unquoted a b");
  assert.match(said, /quote/i);
  assert.is((await cluster().node(1).get("unquoted")).status, 404);
});

scenario("deleting, listing and asking for what is not there", async () => {
  const node = cluster().node(2);
  await run(node, "put list/a 1", "put list/b 2", "put list/c 3", "del list/b");
  const listed = await run(node, "list list/");
  assert.match(listed, /list\/a/);
  assert.match(listed, /list\/c/);
  assert.not.match(listed, /list\/b/);
  assert.match(await run(node, "get list/b"), /not found/i);
});

scenario("status and help tell what there is", async () => {
  const node = cluster().node(3);
  assert.match(await run(node, "status"), /leader/);
  const help = await run(node, "help");
  for (const command of ["put", "get", "del", "list", "status", "help", "exit"]) {
    assert.match(help, new RegExp(`\\b${command}\\b`));
  }
});

scenario("wrong lines are answered with what to do, and the next one runs", async () => {
  const node = cluster().node(1);
  const before = (await node.status()).stateHash;
  for (const line of ["frobnicate", "put", "put onlykey", "get", 'put k "open', "del", "get a b"]) {
    const said = (await run(node, line)).split("\n").filter((text) => text !== "");
    assert.ok(said.length >= 3, `${line} is answered: ${said.join(" | ")}`);
  }
  await node.ask("DELETE", "/v1/kv/marker");
  await run(node, "");
  assert.type(before, "string");
  assert.is((await node.get("k")).status, 404);
  assert.is((await node.get("onlykey")).status, 404);
});

scenario("a value's escape codes never reach the output", async () => {
  const node = cluster().node(1);
  const value = "\x1b[2J\x1b]0;title\x07\rgone\x00\x9b31m";
  await node.mustPut("evil", value);
  const from = node.process.stdout.length;
  await run(node, "get evil", "list evil");
  const raw = node.process.stdout.slice(from);
  assert.not.match(raw, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  assert.match(raw, /\\x1b|\\e|\\u\{?0*1b/i);
});

scenario("what is shown in escapes can be put again", async () => {
  const node = cluster().node(1);
  const value = Buffer.from([0, 1, 0x1b, 0x5b, 0xff, 0x0a, 0x22, 0x5c, 0x20, 0x7f]);
  await node.mustPut("odd", value);
  const shown = (await run(node, "get odd")).split("\n").find((line) => line !== "") ?? "";
  await run(node, `put odd-again ${shown}`);
  assert.equal([...(await node.get("odd-again")).body], [...value]);
});

scenario("a very long line is an error and not a hang", async () => {
  const node = cluster().node(2);
  const line = `put long ${"x".repeat(6 << 20)}`;
  const said = await run(node, line);
  assert.ok(said.length < 10_000, "the line is not echoed");
  assert.match(said, /error|too l|long|large/i);
  assert.is((await node.get("long")).status, 404);
});

scenario("bytes that are no text are an error, and the next line runs", async () => {
  const node = cluster().node(2);
  node.process.write(Buffer.from([0x70, 0x75, 0x74, 0x20, 0x62, 0xff, 0xfe, 0x20, 0x78, 0x0a]));
  await run(node, "put after-bytes x");
  assert.is((await node.get("after-bytes")).text, "x");
});

scenario("at the end of the pipe the node goes on serving", async () => {
  const node = cluster().node(3);
  node.process.write("put last-line unended");
  node.process.endInput();
  await until("the last line is executed", 5_000, async () => {
    return (await cluster().node(1).get("last-line")).text === "unended";
  });
  await node.mustPut("after-end", "x");
  assert.ok(node.isRunning);
  assert.is((await node.get("after-end")).text, "x");
});

scenario("exit ends the node with 0, and lines after it are not run", async () => {
  const node = cluster().node(2);
  node.process.write("exit\nput after-exit x\n");
  const ending = await node.process.endsWithin(stopMs);
  assert.equal(ending, { code: 0, signal: null });
  await cluster().leader();
  assert.is((await cluster().node(1).get("after-exit")).status, 404);
});

/** A cluster of one, for what is about the process alone. */
function lone(scope: Scope): Promise<Cluster> {
  return Cluster.prepare(scope, { size: 1 });
}

scenario("with /dev/null as standard input it serves", async (scope) => {
  const one = await lone(scope);
  const { command } = one.node(1);
  const child = new KvProcess(scope, { name: "node on /dev/null", command, input: "none" });
  await one.node(1).mustPut("k", "v", 10_000);
  assert.ok(child.isRunning);
  assert.is(child.stdout, "");
});

scenario("with standard input closed it serves", async (scope) => {
  const one = await lone(scope);
  const command = ["sh", "-c", 'exec "$0" "$@" <&-', ...one.node(1).command];
  const child = new KvProcess(scope, { name: "node without input", command, input: "none" });
  await one.node(1).mustPut("k", "v", 10_000);
  assert.ok(child.isRunning);
});

scenario("a file as standard input is a list of commands", async (scope) => {
  const one = await lone(scope);
  const command = [
    "sh",
    "-c",
    `printf 'put from-file yes\\nget from-file\\n' > ${join(one.dataDirectory, "..", "lines")}
     exec "$0" "$@" < ${join(one.dataDirectory, "..", "lines")}`,
    ...one.node(1).command,
  ];
  const child = new KvProcess(scope, { name: "node on a file", command });
  await until("it serves", 10_000, () => one.node(1).isReady());
  await child.says(/\n/);
  assert.ok(child.isRunning);
});

scenario("logs go to standard error and answers to standard output", async (scope) => {
  const one = await lone(scope);
  const node = one.node(1);
  const flags = ["--log-level", "debug", "--log-format", "json"];
  node.start({ input: "pipe", flags });
  await until("it serves", 10_000, () => node.isReady());
  await run(node, "put k v");
  assert.ok(node.process.errorLines.length > 0);
  for (const line of node.process.errorLines) JSON.parse(line);
  assert.not.match(node.process.stdout, /^\{/m);
});

scenario("a command of the shell is answered with its exit code", async (scope) => {
  const node = cluster().node(1);
  const one = async (...words: string[]): Promise<KvProcess> => {
    const endpoints = ["--endpoints", `127.0.0.1:${node.httpPort}`];
    const command = [...commandOf("executable"), ...words, ...endpoints];
    const child = new KvProcess(scope, { name: `kv ${words.join(" ")}`, command });
    await child.endsWithin(10_000);
    return child;
  };
  assert.is((await one("put", "shell", "from a shell")).ending?.code, 0);
  assert.is((await node.get("shell")).text, "from a shell");
  const got = await one("get", "shell");
  assert.is(got.ending?.code, 0);
  assert.is(got.stdout, "from a shell");
  assert.is((await one("get", "not-there")).ending?.code, 1);
  assert.is((await one("del", "shell")).ending?.code, 0);
  assert.is((await one("put", "number", "-5")).ending?.code, 0);
  assert.is((await one("get", "number")).stdout, "-5");
  assert.is((await one("put", "one-word")).ending?.code, 2);
});

scenario(
  "an answer that cannot be written is a failure, a reader that left is none",
  async (scope) => {
    if (!existsSync("/dev/full")) return skipped("no /dev/full");
    const node = cluster().node(1);
    await node.mustPut("large", "x".repeat(1 << 20));
    const endpoints = ["--endpoints", `127.0.0.1:${node.httpPort}`];
    const runIn = async (form: Form, shell: string, words: string[]): Promise<KvProcess> => {
      const command = ["bash", "-c", shell, "-", ...commandOf(form), ...words, ...endpoints];
      const child = new KvProcess(scope, { name: `${form}: kv ${words.join(" ")}`, command });
      await child.endsWithin(10_000);
      return child;
    };
    for (const form of ["executable", "bun", "deno", "node"] as const) {
      for (const words of [
        ["get", "large"],
        ["put", "k", "v"],
        ["list", "lar"],
      ]) {
        const full = await runIn(form, '"$@" > /dev/full', words);
        assert.is(full.ending?.code, 3, full.name);
        assert.is(full.errorLines.length, 1, full.stderr);
        assert.match(full.stderr, /cannot be written.*ENOSPC/);
        if (words[0] === "put") assert.match(full.stderr, /revision/);
      }
      const left = await runIn(form, '"$@" | head -c 1; exit ${PIPESTATUS[0]}', ["get", "large"]);
      assert.equal([left.ending?.code, left.stdout, left.stderr], [0, "x", ""], left.name);
    }
  },
);

scenario("a command that reaches nobody ends with 3", async (scope) => {
  const nobody = await lone(scope);
  const endpoints = ["--endpoints", `127.0.0.1:${nobody.node(1).httpPort}`];
  const command = [...commandOf("executable"), "get", "k", ...endpoints];
  const child = new KvProcess(scope, { name: "kv get", command });
  assert.equal(await child.endsWithin(10_000), { code: 3, signal: null });
  assert.is(child.errorLines.length, 1);
});

test.run();
