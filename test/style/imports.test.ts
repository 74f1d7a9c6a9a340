/** The import table: everything points at `server/raft`, and it points at nothing. */

import { builtinModules } from "node:module";
import { posix } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { codeFiles, codeOnly, lineAt, type SourceFile } from "./source.ts";

interface Import {
  specifier: string;
  /** Nothing of it is left at run time. */
  typesOnly: boolean;
  line: number;
}

const statement =
  /\b(?:import|export)\s+(type\s+)?(?:[\w$*\s{},]+?\s+from\s+|(?=["']))["']([^"'\n]+)["']/g;
const call = /\b(?:import|require)\s*\(\s*(?:["']([^"'\n]+)["'])?/g;

function importsOf(text: string): Import[] {
  const code = codeOnly(text, true);
  const found: Import[] = [];
  for (const match of code.matchAll(statement)) {
    const names = /\{([^}]*)\}/
      .exec(match[0])?.[1]
      ?.split(",")
      .filter((name) => name.trim() !== "");
    const eachIsType = names?.every((name) => name.trim().startsWith("type ")) ?? false;
    found.push({
      specifier: match[2] ?? "",
      typesOnly: match[1] !== undefined || eachIsType,
      line: lineAt(code, match.index),
    });
  }
  for (const match of code.matchAll(call)) {
    const specifier = match[1] ?? "(computed)";
    found.push({ specifier, typesOnly: false, line: lineAt(code, match.index) });
  }
  return found;
}

interface Rule {
  /** The files it binds: the first rule whose prefix fits a file decides. */
  from: string;
  /** Paths (by prefix), packages or `node:` that may be imported. */
  may: readonly string[];
  /** Paths of which only types may be imported. */
  mayTypes?: readonly string[];
}

const table: readonly Rule[] = [
  { from: "server/raft/", may: ["server/raft/"] },
  {
    from: "server/",
    may: ["server/", "hono", "@msgpack/msgpack", "node:"],
  },
  {
    from: "storage/",
    may: [
      "storage/",
      "server/state-machine/",
      "server/raft/assert.ts",
      "server/raft/entry.ts",
      "server/raft/configuration.ts",
      "node:",
      "bun:sqlite",
      "better-sqlite3",
    ],
    mayTypes: ["server/raft/", "server/ports.ts"],
  },
  {
    from: "repl/",
    may: [
      "repl/",
      "server/client-port.ts",
      "server/member-text.ts",
      "server/state-machine/command.ts",
      "server/state-machine/integer.ts",
      "server/state-machine/key-range.ts",
      "server/duration.ts",
      "server/json-row.ts",
      "server/leader-json.ts",
      "server/long-poll.ts",
      "server/transaction-json.ts",
      "server/watch/watch-json.ts",
      "server/raft/assert.ts",
      "node:",
    ],
    mayTypes: ["server/"],
  },
  {
    from: "cmd/",
    may: ["cmd/", "server/", "storage/", "repl/", "client/", "cac", "node:", "package.json"],
  },
  { from: "client/", may: ["client/"] },
  { from: "test/", may: [""] },
  { from: ".ci/", may: ["node:"] },
];

const builtins = new Set(builtinModules);

/** What an import leads to: a path from the root, a package, or a module of the runtime. */
function target(from: string, specifier: string): string {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  return builtins.has(specifier) && !specifier.includes(":") ? `bare ${specifier}` : specifier;
}

function allows(entry: string, to: string): boolean {
  if (entry === "" || entry.endsWith("/") || entry.endsWith(":")) return to.startsWith(entry);
  return to === entry || (!entry.endsWith(".ts") && to.startsWith(`${entry}/`));
}

/** Each import of `file` that the table does not allow, as a line to print. */
function violations(file: SourceFile): string[] {
  const rule = table.find(({ from }) => file.path.startsWith(from));
  if (rule === undefined) return [`${file.path}: lies in no directory that the table knows`];
  return importsOf(file.text)
    .filter(({ specifier, typesOnly }) => {
      const to = target(file.path, specifier);
      if (rule.may.some((entry) => allows(entry, to))) return false;
      return !(typesOnly && (rule.mayTypes ?? []).some((entry) => allows(entry, to)));
    })
    .map(({ specifier, line }) => `${file.path}:${line}: ${rule.from} may not import ${specifier}`);
}

function assertForbidden(path: string, text: string): void {
  assert.is(violations({ path, text }).length, 1, `${path}: ${text}`);
}

function assertAllowed(path: string, text: string): void {
  assert.equal(violations({ path, text }), []);
}

test("no file imports what the table does not allow it", () => {
  assert.equal(codeFiles().flatMap(violations), []);
});

test("relative imports carry their extension", () => {
  const bare = codeFiles().flatMap(({ path, text }) =>
    importsOf(text)
      .filter(({ specifier }) => /^\.\.?\//.test(specifier) && !/\.(?:ts|json)$/.test(specifier))
      .map(({ specifier, line }) => `${path}:${line}: ${specifier}`),
  );
  assert.equal(bare, []);
});

test("the core may import nothing but itself", () => {
  assertAllowed("server/raft/raft.ts", `import { must } from "./assert.ts";`);
  assertForbidden("server/raft/raft.ts", `import { Node } from "../node.ts";`);
  assertForbidden("server/raft/raft.ts", `import type { Node } from "../node.ts";`);
  assertForbidden("server/raft/raft.ts", `import fs from "node:fs";`);
  assertForbidden("server/raft/raft.ts", `import { Hono } from "hono";`);
});

test("the server may not import storage, repl or cmd", () => {
  assertAllowed("server/http.ts", `import { cors } from "hono/cors";`);
  assertForbidden("server/http.ts", `import { Log } from "../storage/log.ts";`);
  assertForbidden("server/http.ts", `import type { Log } from "../storage/log.ts";`);
  assertForbidden("server/node.ts", `import "../repl/repl.ts";`);
  assertForbidden("server/node.ts", `import x from "../cmd/kv.ts";`);
  assertForbidden("server/node.ts", `import { cac } from "cac";`);
});

test("storage may import the core's types and the state machine's port", () => {
  assertAllowed("storage/log.ts", `import type { Message } from "../server/raft/message.ts";`);
  assertAllowed("storage/log.ts", `import { type Raft } from "../server/raft/raft.ts";`);
  assertAllowed("storage/log.ts", `import { apply } from "../server/state-machine/command.ts";`);
  assertForbidden("storage/log.ts", `import { Raft } from "../server/raft/raft.ts";`);
  assertForbidden("storage/log.ts", `import { type A, Raft } from "../server/raft/raft.ts";`);
  assertForbidden("storage/log.ts", `import { Node } from "../server/node.ts";`);
});

test("the prompt may import the client port alone, and types", () => {
  assertAllowed("repl/repl.ts", `import { level } from "../server/client-port.ts";`);
  assertAllowed("repl/repl.ts", `import type { Limits } from "../server/limits.ts";`);
  assertForbidden("repl/repl.ts", `import { Limits } from "../server/limits.ts";`);
  assertForbidden("repl/repl.ts", `import { Disk } from "../storage/disk.ts";`);
});

test("the client may import nothing but itself", () => {
  assertAllowed("client/client.ts", `import { KvError } from "./error.ts";`);
  assertForbidden("client/client.ts", `import { Buffer } from "node:buffer";`);
  assertForbidden("client/client.ts", `import type { Row } from "../server/client-port.ts";`);
});

test("commands may import everything but tests", () => {
  assertAllowed("cmd/kv.ts", `import { Log } from "../storage/log.ts";`);
  assertForbidden("cmd/kv.ts", `import { runFile } from "../test/harness/run-file.ts";`);
  assertForbidden("cmd/kv.ts", `import { test } from "uvu";`);
});

test("every form of import is seen", () => {
  const from = "server/raft/raft.ts";
  assertForbidden(from, `import {\n  a,\n  b,\n} from '../node.ts';`);
  assertForbidden(from, `import * as all from "../node.ts";`);
  assertForbidden(from, `export { a } from "../node.ts";`);
  assertForbidden(from, `export * from "../node.ts";`);
  assertForbidden(from, `import "../node.ts";`);
  assertForbidden(from, `const a = await import("../node.ts");`);
  assertForbidden(from, "const a = await import(`../${name}.ts`);");
  assertForbidden(from, `const a = require("../node.ts");`);
  assertForbidden(from, `import fs from "fs";`);
  assertAllowed(from, `// import { a } from "../node.ts";`);
});

test.run();
