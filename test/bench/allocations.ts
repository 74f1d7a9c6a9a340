/**
 * What a put allocates on a leader and on a follower, in bytes and by function, under 64 clients: three
 * nodes under Node.js, whose collector can say so. `KV_SOURCE` names another tree to be measured.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isInstalled, measure } from "./h2load.ts";
import { HttpWords } from "./http-words.ts";

const warmUpSeconds = 8;
const seconds = 5;
const writeMs = 20_000;
const functionsShown = 20;

if (!isInstalled("h2load")) {
  console.error("h2load is not installed (Debian: nghttp2-client)");
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const source = process.env["KV_SOURCE"] ?? join(here, "..", "..");
const scratch = mkdtempSync(join(tmpdir(), "kv-allocations-"));
process.env["KV_ALLOCATIONS"] = scratch;
const words = [process.execPath, "--import", join(here, "allocation-probe.ts")];
const executable = join(scratch, "kv");
writeFileSync(
  executable,
  `#!/bin/sh\nexec ${words.join(" ")} ${join(source, "cmd", "kv.ts")} "$@"\n`,
  { mode: 0o755 },
);
process.env["KV_EXECUTABLE"] = executable;
// Only now: it looks at the variable as it is loaded.
const { OwnCluster, profiledLoad } = await import("./own.ts");

async function written(processId: number): Promise<Record<string, number>> {
  const path = join(scratch, `${processId}.json`);
  for (const end = performance.now() + writeMs; performance.now() < end;) {
    if (existsSync(path)) {
      const text = readFileSync(path, "utf8");
      if (text.endsWith("}")) return JSON.parse(text) as Record<string, number>;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the node does not say what it has allocated");
}

function print(place: string, sums: Readonly<Record<string, number>>, puts: number): void {
  const sorted = Object.entries(sums).sort(([, a], [, b]) => b - a);
  const all = sorted.reduce((sum, [, bytes]) => sum + bytes, 0);
  console.log(`a put on the ${place} allocates ${(all / puts).toFixed(0)} bytes (${puts} puts)`);
  for (const [name, bytes] of sorted.slice(0, functionsShown)) {
    console.log(`  ${(bytes / puts).toFixed(0).padStart(6)} ${name}`);
  }
}

const cluster = await OwnCluster.start(new HttpWords(scratch));
await cluster.fill(profiledLoad.keyCount, profiledLoad.valueBytes);
const places = ["leader", "follower"] as const;
const processIds = await Promise.all(places.map((place) => cluster.processId(place)));
const generators = await cluster.generators("put");
await measure(generators, { scratch, seconds: warmUpSeconds });
const before = await cluster.writeCount();
for (const id of processIds) process.kill(id, "SIGUSR2");
await measure(generators, { scratch, seconds });
const puts = (await cluster.writeCount()) - before;
for (const id of processIds) process.kill(id, "SIGUSR2");
for (const [at, place] of places.entries()) {
  print(place, await written(processIds[at] ?? 0), puts);
}
cluster.end();
rmSync(scratch, { recursive: true });
process.exit(0);
