/** Wrong use, and surroundings that do not let a node start: one line that helps, and the exit code. */

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster } from "./cluster.ts";
import { commandOf, root, type Form } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { type Scope, scenario } from "./scope.ts";
import { until } from "./wait.ts";

interface Attempt {
  readonly words: readonly string[];
  /** What the line must contain: the offending word. */
  readonly names: string;
  readonly environment?: Record<string, string>;
}

const endMs = 10_000;

function assertOneLine(child: KvProcess, expected: { code: number; names: string }): void {
  const told = `${child.name}: ${JSON.stringify(child.ending)} ${child.stderr}`;
  assert.equal(child.ending, { code: expected.code, signal: null }, told);
  assert.is(child.errorLines.length, 1, told);
  assert.ok(child.stderr.includes(expected.names), `names "${expected.names}": ${told}`);
  assert.is(child.stdout, "", told);
}

/** Runs each attempt in an empty directory, which must be empty afterwards. */
async function assertWrongUse(scope: Scope, attempts: readonly Attempt[]): Promise<void> {
  for (const { words, names, environment = {} } of attempts) {
    const directory = scope.temporaryDirectory();
    const command = [...commandOf("executable"), ...words];
    const name = `kv ${words.join(" ")}`;
    const child = new KvProcess(scope, { name, command, directory, environment });
    await child.endsWithin(endMs);
    assertOneLine(child, { code: 2, names });
    assert.equal(readdirSync(directory), [], `${name} leaves nothing behind`);
  }
}

scenario("a missing or wrong node id", async (scope) => {
  const ids = ["4", "0", "-1", "abc", "1.5", "01x", "1e0", "0x1", "1 2", "99999999999999999999"];
  await assertWrongUse(scope, [
    { words: [], names: "--nodeid" },
    { words: ["--no-repl"], names: "--nodeid" },
    { words: ["--nodeid"], names: "--nodeid" },
    { words: ["--nodeid", ""], names: "--nodeid" },
    { words: ["--nodeid", "1", "--nodeid", "2"], names: "--nodeid" },
    ...ids.map((id) => ({ words: ["--nodeid", id], names: id })),
    { words: ["--nodeid=7"], names: "7" },
    { words: [], names: "KV_NODEID", environment: { KV_NODEID: "five" } },
  ]);
});

scenario("unknown flags and words", async (scope) => {
  await assertWrongUse(scope, [
    { words: ["--nodeid", "1", "--bogus"], names: "--bogus" },
    { words: ["--nodeid", "1", "--bogus=3"], names: "--bogus" },
    { words: ["--bogus-flag", "3", "--nodeid", "1"], names: "--bogus-flag" },
    { words: ["--nodeid", "1", "-x"], names: "-x" },
    { words: ["--nodeid", "1", "surplus"], names: "surplus" },
    { words: ["frobnicate"], names: "frobnicate" },
    { words: ["cluster", "--bogus"], names: "--bogus" },
    { words: ["cluster", "surplus"], names: "surplus" },
    { words: ["cluster", "--nodeid", "1"], names: "--nodeid" },
    { words: ["--nodeid", "1", "--no-repl=foo"], names: "--no-repl=foo" },
    { words: ["--nodeid", "1"], names: "KV_NO_REPL=maybe", environment: { KV_NO_REPL: "maybe" } },
    { words: ["get", "k", "-o", "json", "-o", "text"], names: "--output" },
    { words: ["put", "k", "-x"], names: "--" },
    { words: ["put", "k", "-v"], names: "--version" },
    { words: ["help", "frobnicate"], names: "frobnicate" },
  ]);
});

scenario("a cluster that cannot be", async (scope) => {
  const good = "1=127.0.0.1:21/127.0.0.1:22";
  const specs: [spec: string, names: string][] = [
    ["nonsense", "nonsense"],
    ["1=127.0.0.1/127.0.0.1:8001", "127.0.0.1"],
    ["1=127.0.0.1:63001", "1=127.0.0.1:63001"],
    ["1=127.0.0.1:99999/127.0.0.1:8001", "99999"],
    ["1=127.0.0.1:abc/127.0.0.1:8001", "abc"],
    ["x=127.0.0.1:63001/127.0.0.1:8001", "x="],
    [`${good},1=127.0.0.1:23/127.0.0.1:24`, "1"],
    [`${good},2=127.0.0.1:21/127.0.0.1:24`, "127.0.0.1:21"],
    [`${good},`, "--cluster"],
    ["", "--cluster"],
  ];
  await assertWrongUse(
    scope,
    specs.map(([spec, names]) => ({ words: ["--nodeid", "1", "--cluster", spec], names })),
  );
  await assertWrongUse(scope, [
    { words: ["cluster", "--cluster", "nonsense"], names: "nonsense" },
    {
      words: ["--nodeid", "1"],
      names: "KV_CLUSTER",
      environment: { KV_CLUSTER: "of nothing" },
    },
  ]);
});

scenario("wrong levels, formats and addresses", async (scope) => {
  const flags: [flag: string, value: string][] = [
    ["--log-level", "loud"],
    ["--log-level", "INFO!"],
    ["--log-format", "xml"],
    ["--snapshot-entries", "0"],
    ["--snapshot-bytes", "1k"],
    ["--http", "nonsense"],
    ["--http", "127.0.0.1:http"],
    ["--raft", "127.0.0.1:70000"],
    ["--allowed-hosts", "http://a.example"],
    ["--allowed-origins", "a.example"],
  ];
  await assertWrongUse(
    scope,
    flags.map(([flag, value]) => ({ words: ["--nodeid", "1", flag, value], names: value })),
  );
});

scenario("a measurement that cannot be", async (scope) => {
  const flags: [flag: string, value: string][] = [
    ["--clients", "0"],
    ["--clients", "1.5"],
    ["--clients", "20000"],
    ["--size", "1048577"],
    ["--keys", "-1"],
    ["--reads", "101"],
    ["--reads", "half"],
    ["--duration", "0"],
    ["--duration", "10s"],
    ["--endpoints", "not an address"],
    ["--output", "xml"],
  ];
  await assertWrongUse(scope, [
    ...flags.map(([flag, value]) => ({ words: ["bench", flag, value], names: value })),
    { words: ["bench", "--clients"], names: "--clients" },
    { words: ["bench", "--prefix", "x".repeat(2_048)], names: "--prefix" },
    { words: ["bench", "--bogus"], names: "--bogus" },
    { words: ["bench", "surplus"], names: "surplus" },
  ]);
});

scenario("without a secret no other machine is listened to", async (scope) => {
  const directory = scope.temporaryDirectory();
  for (const flag of ["--http", "--raft"]) {
    const words = ["--nodeid", "1", flag, "0.0.0.0:21999"];
    const command = [...commandOf("executable"), ...words];
    const child = new KvProcess(scope, { name: words.join(" "), command, directory });
    const { code } = await child.endsWithin(endMs);
    assert.ok(code === 1 || code === 2, `exit code ${code}`);
    assert.is(child.errorLines.length, 1, child.stderr);
    assert.match(child.stderr, /0\.0\.0\.0/);
    assert.match(child.stderr, /secret/i);
    assert.equal(readdirSync(directory), []);
  }
});

scenario("values are taken literally, also those that look like numbers", async (scope) => {
  const cluster = await Cluster.prepare(scope, { size: 1 });
  const directory = scope.temporaryDirectory();
  const words = ["--nodeid", "1", "--data-dir", "0123", "--cluster", cluster.spec, "--no-repl"];
  const command = [...commandOf("executable"), ...words];
  const child = new KvProcess(scope, { name: "kv --data-dir 0123", command, directory });
  await until("it is ready", endMs, () => cluster.node(1).isReady());
  assert.ok(child.isRunning);
  assert.equal(readdirSync(directory), ["0123"]);
});

scenario("every flag is an environment variable too, and the flag wins", async (scope) => {
  const cluster = await Cluster.prepare(scope, { size: 1 });
  const directory = scope.temporaryDirectory();
  const environment = {
    KV_NODEID: "9",
    KV_CLUSTER: cluster.spec,
    KV_DATA_DIR: "from-environment",
    KV_LOG_LEVEL: "error",
  };
  const command = [...commandOf("executable"), "--nodeid", "1"];
  const child = new KvProcess(scope, {
    name: "kv by environment",
    command,
    directory,
    environment,
  });
  await until("it is ready", endMs, () => cluster.node(1).isReady());
  assert.equal(readdirSync(directory), ["from-environment"]);
  assert.equal(child.errorLines, []);
});

/** One node alone with its files in `directory`; ends by itself. */
async function assertRefused(
  scope: Scope,
  options: {
    cluster: Cluster;
    id?: number;
    dataDir: string;
    names: string;
    flags?: string[];
    form?: Form;
    code?: number;
  },
): Promise<void> {
  const { cluster, id = 1, dataDir, names, flags = [], form = "executable", code = 1 } = options;
  const words = ["--nodeid", String(id), "--cluster", cluster.spec, "--data-dir", dataDir];
  const command = [...commandOf(form), ...words, ...flags];
  const child = new KvProcess(scope, { name: `${form}: kv --data-dir ${dataDir}`, command });
  await child.endsWithin(endMs);
  assertOneLine(child, { code, names });
}

scenario("a data directory that is a file, or cannot be written", async (scope) => {
  const cluster = await Cluster.prepare(scope, { size: 1 });
  const directory = scope.temporaryDirectory();
  const file = join(directory, "a-file");
  writeFileSync(file, "mine");
  await assertRefused(scope, { cluster, dataDir: file, names: "a-file" });
  const sealed = join(directory, "sealed");
  mkdirSync(sealed);
  writeFileSync(join(sealed, "node-1"), "mine");
  await assertRefused(scope, { cluster, dataDir: sealed, names: "node-1" });
  // The superuser may write everywhere but in the kernel's own file system.
  const isSuperuser = process.getuid?.() === 0;
  if (!isSuperuser) chmodSync(directory, 0o555);
  const closed = isSuperuser ? "/proc/kv-data" : join(directory, "closed");
  for (const form of ["executable", "bun", "deno", "node"] as const) {
    await assertRefused(scope, { cluster, form, dataDir: closed, names: closed });
  }
  chmodSync(directory, 0o755);
});

scenario("files in the data directory that are not what they should be", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  await cluster.stopAll();
  const files = [
    { path: "lock", replace: (path: string) => writeFileSync(path, "x".repeat(5_000)), code: 4 },
    { path: "identity", replace: (path: string) => mkdirSync(path), code: 1 },
    { path: "group-0/hard-state", replace: (path: string) => mkdirSync(path), code: 1 },
    { path: "group-0/state.sqlite", replace: (path: string) => mkdirSync(path), code: 1 },
  ];
  for (const { path, replace, code } of files) {
    for (const form of ["executable", "node"] as const) {
      const dataDir = scope.temporaryDirectory();
      const node = join(dataDir, "node-1");
      cpSync(cluster.node(1).directory, node, { recursive: true });
      const file = join(node, path);
      rmSync(file);
      replace(file);
      await assertRefused(scope, { cluster, form, dataDir, names: file, code });
    }
  }
});

scenario("a second process on the same directory", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  const elsewhere = await Cluster.prepare(scope, { size: 1 });
  const node = cluster.node(1);
  await node.mustPut("k", "v");
  const { httpPort, raftPort } = elsewhere.node(1);
  const flags = ["--http", `127.0.0.1:${httpPort}`, "--raft", `127.0.0.1:${raftPort}`];
  const refused = { cluster, dataDir: cluster.dataDirectory, names: node.directory };
  await assertRefused(scope, { ...refused, flags });
  // On the same ports the directory is still what is said first.
  await assertRefused(scope, refused);
  assert.is((await node.get("k")).text, "v");
  await node.mustPut("k", "w");
  await node.kill();
  node.start();
  await cluster.whole();
  assert.is((await node.get("k")).text, "w");
});

scenario("the directory of another node", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("k", "v");
  await cluster.stopAll();
  const dataDir = scope.temporaryDirectory();
  cpSync(cluster.node(1).directory, join(dataDir, "node-2"), { recursive: true });
  await assertRefused(scope, { cluster, id: 2, dataDir, names: join(dataDir, "node-2") });
});

scenario("a port that is taken", async (scope) => {
  const cluster = await Cluster.prepare(scope, { size: 1 });
  const { httpPort, raftPort } = cluster.node(1);
  for (const port of [httpPort, raftPort]) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    scope.onEnd(() => void server.close());
    const dataDir = join(scope.temporaryDirectory(), "data");
    await assertRefused(scope, { cluster, dataDir, names: String(port) });
    assert.not(existsSync(join(dataDir, "node-1", "group-0")), "nothing was begun");
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

/** Runs it to its end and returns what it said, which is all it said. */
async function answerOf(scope: Scope, form: Form, words: readonly string[]): Promise<string> {
  const command = [...commandOf(form), ...words];
  const child = new KvProcess(scope, { name: `${form}: kv ${words.join(" ")}`, command });
  assert.equal(await child.endsWithin(endMs), { code: 0, signal: null }, child.stderr);
  assert.is(child.stderr, "");
  return child.stdout;
}

scenario("help is an answer, asked for as a flag or as a command", async (scope) => {
  const help = await answerOf(scope, "executable", ["--help"]);
  assert.match(help, /--nodeid[\s\S]*--data-dir[\s\S]*--cluster/);
  assert.not.match(help, /default: true/);
  assert.is(await answerOf(scope, "executable", ["help"]), help);
  const put = await answerOf(scope, "executable", ["put", "--help"]);
  assert.match(put, /kv put <key> <value>[\s\S]*--endpoints/);
  assert.is(await answerOf(scope, "executable", ["help", "put"]), put);
});

scenario("the version names the runtime and the runtime's own version", async (scope) => {
  for (const form of ["executable", "bun", "deno", "node"] as const) {
    const line = await answerOf(scope, form, ["--version"]);
    const name = form === "executable" ? "bun" : form;
    const runtime = join(root, "node_modules", name, "package.json");
    const { version } = JSON.parse(readFileSync(runtime, "utf8")) as { version: string };
    assert.match(line, /^kv\/\d+\.\d+\.\d+ /);
    assert.ok(line.endsWith(` ${name}-v${version}\n`), `${line} of ${version}`);
  }
});

scenario("a word that is no text is refused, whatever the runtime made of it", async (scope) => {
  if (!existsSync("/proc/self/cmdline")) return skipped("no /proc to see the words' bytes");
  // Deno refuses such a word itself, before any program starts, where it is started by its own binary.
  for (const form of ["executable", "bun", "node"] as const) {
    const command = ["bash", "-c", String.raw`exec "$@" $'a\xff'`, "-", ...commandOf(form), "get"];
    const child = new KvProcess(scope, { name: `${form}: kv get a\\xff`, command });
    await child.endsWithin(endMs);
    assertOneLine(child, { code: 2, names: "not UTF-8" });
  }
});

test.run();
