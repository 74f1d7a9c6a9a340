/** What may not stand where: hidden clocks and dice, `await` in the core, and a few forms of text. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { codeFiles, codeOnly, lineAt, projectFiles, type SourceFile } from "./source.ts";

const time =
  /\bDate\s*\.\s*now\b|\bnew\s+Date\s*(?:\(\s*\)|(?!\s*\())|\bDate\s*\(\s*\)|\bperformance\b|\bhrtime\b|\bTemporal\b/g;
const chance =
  /\bMath\s*\.\s*random\b|\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b|\bgetRandomValues\b/g;
const timers =
  /\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bnextTick\b|\bAbortSignal\s*\.\s*timeout\b/g;
const suspension = /\bawait\b|\basync\b/g;

interface Ban {
  what: string;
  pattern: RegExp;
  /** Files it binds. */
  where: RegExp;
  /** Files among them that are let off: the edges of the program. */
  except?: RegExp;
}

const edges = /^server\/(?:http-client|watch\/http-(?:watch|stream))\.ts$/;
/** `node-client.ts` is the far side of the client port: promises for callers, none in the loop. */
const synchronous =
  /^(?:server\/(?:raft\/|state-machine\/|node(?!-client\.ts$)[\w-]*\.ts$|formation)|storage\/)/;

const bans: readonly Ban[] = [
  { what: "reads a clock", pattern: time, where: /^(?:server|storage|repl)\// },
  { what: "draws a random number", pattern: chance, where: /^(?:server|storage|repl)\// },
  { what: "sets a timer", pattern: timers, where: /^(?:server|storage)\//, except: edges },
  {
    what: "waits",
    pattern: suspension,
    where: synchronous,
    except: /^storage\/sqlite\/open\.ts$/,
  },
  { what: "exports a default", pattern: /\bexport\s+default\b|\bas\s+default\b/g, where: /./ },
  {
    what: "is not erasable",
    pattern: /\benum\s+[\w$]+\s*\{|\b(?:namespace|module)\s+[\w$.]+\s*\{/g,
    where: /./,
  },
];

function violations(file: SourceFile): string[] {
  const code = codeOnly(file.text);
  return bans
    .filter(({ where, except }) => where.test(file.path) && except?.test(file.path) !== true)
    .flatMap(({ what, pattern }) =>
      [...code.matchAll(pattern)].map(
        ({ 0: found, index }) => `${file.path}:${lineAt(code, index)}: ${what}: ${found.trim()}`,
      ),
    );
}

const lengthMax = 600;

/** Lines of a file, less the essay or sentence that opens it. */
function codeLength(text: string): number {
  const opening = /^\s*\/\*[\s\S]*?\*\//.exec(text)?.[0] ?? "";
  return text.slice(opening.length).split("\n").length;
}

/** Put together from parts, so that this file does not name what it looks for. */
const forbiddenText = new RegExp(
  [
    String.raw`(?<![\w.~/-])/(?:` + ["work", "root", "home", "Users"].join("|") + ")/[a-z]",
    String.raw`\b(?:registry|npm|pypi|proxy|index|static)\.` +
      String.raw`(?:npm` +
      "js|yarn" +
      String.raw`pkg|golang|crates|python` +
      String.raw`)\.`,
    String.raw`"res(?:olved)":`,
  ].join("|"),
  "g",
);

function forbiddenTextIn({ path, text }: SourceFile): string[] {
  return [...text.matchAll(forbiddenText)].map(
    ({ 0: found, index }) => `${path}:${lineAt(text, index)}: ${found}`,
  );
}

function assertBanned(path: string, text: string): void {
  assert.is(violations({ path, text }).length, 1, `${path}: ${text}`);
}

function assertAllowed(path: string, text: string): void {
  assert.equal(violations({ path, text }), []);
}

test("no file has what is banned where it lies", () => {
  assert.equal(codeFiles().flatMap(violations), []);
});

test("no file is longer than can be read in one go", () => {
  const long = codeFiles().filter(({ text }) => codeLength(text) > lengthMax);
  assert.equal(
    long.map(({ path, text }) => `${path}: ${codeLength(text)} lines`),
    [],
  );
});

test("every file of the product opens with what it is for", () => {
  const silent = codeFiles().filter(({ text }) => !/^(?:#![^\n]*\n)?\/\*\*/.test(text));
  assert.equal(
    silent.map(({ path }) => path),
    [],
  );
});

test("no text names a path of some machine or a package registry's host", () => {
  assert.equal(projectFiles().flatMap(forbiddenTextIn), []);
});

test("a clock is noticed in every form", () => {
  for (const code of [
    "const now = Date.now();",
    "const now = performance.now();",
    "const now = new Date();",
    "const now = new Date;",
    "const now = process.hrtime.bigint();",
  ]) {
    assertBanned("server/node.ts", code);
    assertBanned("storage/log/log.ts", code);
  }
  assertAllowed("server/node.ts", "const then = new Date(wallMs);");
  assertAllowed("cmd/clock.ts", "const now = Date.now();");
});

test("randomness is noticed in every form", () => {
  assertBanned("server/transport.ts", "Math.random()");
  assertBanned("server/transport.ts", "crypto.getRandomValues(bytes)");
  assertBanned("server/transport.ts", "crypto.randomUUID()");
  assertBanned("storage/identity.ts", "const id = randomBytes(16);");
});

test("timers are for the ports and the edges", () => {
  for (const name of ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"]) {
    assertBanned("server/raft/raft.ts", `${name}(run);`);
    assertBanned("server/transport.ts", `${name}(run);`);
    assertAllowed("server/http-client.ts", `${name}(run);`);
  }
  assertBanned("server/forward.ts", "fetch(url, { signal: AbortSignal.timeout(10) })");
  assertAllowed("server/http-client.ts", "fetch(url, { signal: AbortSignal.timeout(10) })");
});

test("nothing waits between a message and its Ready, nor in storage", () => {
  for (const path of [
    "server/raft/raft.ts",
    "server/node.ts",
    "server/node-reads.ts",
    "server/formation.ts",
    "server/state-machine/port.ts",
    "storage/log/segment.ts",
  ]) {
    assertBanned(path, "await log.sync();");
    assertBanned(path, "const run = async () => 1;");
  }
  assertAllowed("storage/sqlite/open.ts", `await import("./bun.ts");`);
  assertAllowed("server/http.ts", "await next();");
});

test("default exports, enums and namespaces are noticed", () => {
  assertBanned("cmd/kv.ts", "export default 1;");
  assertBanned("cmd/kv.ts", "export { main as default };");
  assertBanned("cmd/kv.ts", "enum Role { a }");
  assertBanned("cmd/kv.ts", "namespace Roles { }");
  assertAllowed("cmd/kv.ts", `const text = "export default"; // enum A {`);
});

test("a long file is noticed, its opening essay aside", () => {
  const body = "a();\n".repeat(lengthMax);
  assert.ok(codeLength(body) > lengthMax);
  assert.ok(codeLength(`/** ${"essay\n".repeat(500)} */\na();\n`) <= lengthMax);
});

test("machine paths and registry hosts are noticed", () => {
  const parts = [["", "work", "main"].join("/"), ["", "home", "me"].join("/")];
  parts.push(["registry", "npmjs", "org"].join("."), `"${["re", "solved"].join("")}": "x"`);
  for (const text of parts) assert.is(forbiddenTextIn({ path: "a.md", text }).length, 1, text);
  assert.equal(forbiddenTextIn({ path: "a.md", text: "GET /v1/kv/home/a, see ./work/x" }), []);
});

test.run();
