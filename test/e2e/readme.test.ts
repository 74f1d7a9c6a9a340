/** The README's programs do what their comments say, on every runtime. */

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import packageJson from "../../package.json" with { type: "json" };
import { Cluster } from "./cluster.ts";
import { root } from "./executable.ts";
import { freePorts } from "./ports.ts";
import { KvProcess } from "./process.ts";
import { aimed, readmePrograms } from "./readme-programs.ts";
import { scenario, shared } from "./scope.ts";

const runtimes = { node: [], bun: [], deno: ["run", "-A"] } as const;

const programs = readmePrograms("ts");

test("the README has programs that say what they print", () => {
  const pages = readmePrograms("html");
  assert.ok(programs.length >= 4 && pages.length >= 1);
  for (const { name, prints } of [...programs, ...pages])
    assert.ok(prints.length > 0, `program ${name}`);
});

for (const [runtime, words] of Object.entries(runtimes)) {
  const cluster = shared((scope) => Cluster.start(scope));

  scenario(`the README's programs print on ${runtime} what they say`, async (scope) => {
    const directory = scope.temporaryDirectory();
    mkdirSync(join(directory, "node_modules"));
    symlinkSync(root, join(directory, "node_modules/kv"));
    symlinkSync(join(root, "node_modules/keyv"), join(directory, "node_modules/keyv"));
    const imports = Object.fromEntries(
      Object.entries(packageJson.exports).map(([name, path]) => [
        `kv${name.slice(1)}`,
        join(root, path),
      ]),
    );
    writeFileSync(join(directory, "deno.json"), JSON.stringify({ imports }));
    const dependencies = { kv: "*", keyv: "*" };
    writeFileSync(join(directory, "package.json"), JSON.stringify({ dependencies }));
    const [nobodys = 0] = await freePorts(1);
    for (const { name, code, prints } of programs) {
      const path = join(directory, `program-${name}.ts`);
      const elsewhere = code.replaceAll("localhost:8009", `127.0.0.1:${nobodys}`);
      writeFileSync(path, aimed(elsewhere, cluster().nodes));
      const child = new KvProcess(scope, {
        name: `program ${name} on ${runtime}`,
        command: [join(root, "node_modules/.bin", runtime), ...words, path],
        directory,
      });
      const ending = await child.endsWithin(20_000);
      assert.equal(ending, { code: 0, signal: null }, child.stderr);
      assert.equal(child.stdout.trimEnd().split("\n"), prints, `program ${name}`);
    }
  });
}

test.run();
