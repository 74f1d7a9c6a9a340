/** What `kv recover` says, from the files of nodes whose members have changed since they were formed. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { recover } from "../../cmd/recover.ts";
import {
  configuration,
  encodeConfiguration,
  type Configuration,
} from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Entry } from "../../server/raft/entry.ts";
import { readIdentity, writeIdentity } from "../../storage/identity.ts";
import { NodeDisk } from "../../storage/node-disk.ts";
import { newGroup } from "../storage/new-group.ts";
import { applyAll } from "../storage/apply-all.ts";

const disk = new NodeDisk();

const incarnationOf = (id: number): string => String(id).padStart(32, "0");

const member = (id: number) =>
  ({
    id: nodeId(id),
    role: "voter",
    raft: `a:${id}`,
    http: `b:${id}`,
    incarnation: incarnationOf(id),
  }) as const;

const members = (...ids: number[]): Configuration => configuration(ids.map(member));

/**
 * The directory of node 1, formed with nodes 2 and 3, whose log has one entry for each of the
 * configurations; as many as `applied` are in the state too.
 */
async function withNode(
  { log: later, applied }: { log: readonly Configuration[]; applied: number },
  run: (dataDir: string) => Promise<void>,
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "kv-recover-"));
  const path = join(dataDir, "node-1");
  disk.makeDirectory(path);
  writeFileSync(`${path}/lock`, "");
  const identity = { nodeId: nodeId(1), incarnation: incarnationOf(1), clusterId: "c".repeat(32) };
  writeIdentity(disk, path, { ...identity, members: members(1, 2, 3).members });
  const { log, machine, hardState } = newGroup(`${path}/group-0`);
  const entries = later.map((each, i): Entry => {
    const data = encodeConfiguration({ ...each, revision: i + 1 });
    return { index: index(i + 1), term: term(1), kind: "configuration", timeMs: 1, data };
  });
  hardState.save({ term: term(1), vote: null });
  if (entries.length > 0) log.append(entries);
  log.sync();
  applyAll(machine, entries.slice(0, applied));
  machine.sync();
  machine.close();
  log.close();
  hardState.close();
  try {
    await run(dataDir);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function said(dataDir: string, isForced: boolean): Promise<string> {
  const { lines } = await recover({ nodeId: 1, dataDir, isForced });
  return lines.join("\n");
}

test("the nodes named as lost are the members of the log's last entries", async () => {
  const log = [members(1, 2), members(1, 2, 4), members(1, 2, 4, 5)];
  await withNode({ log, applied: 1 }, async (dataDir) => {
    const text = await said(dataDir, false);
    assert.match(text, /acknowledged by nodes 2, 4, 5 and/);
  });
});

test("and where all is applied, those of the state", async () => {
  await withNode({ log: [members(1, 2), members(1, 2, 4)], applied: 2 }, async (dataDir) => {
    assert.match(await said(dataDir, false), /acknowledged by nodes 2, 4 and/);
  });
});

test("a node that nobody has joined or left names those it was formed with", async () => {
  await withNode({ log: [], applied: 0 }, async (dataDir) => {
    assert.match(await said(dataDir, false), /acknowledged by nodes 2, 3 and/);
  });
});

test("a member whose addresses have changed keeps the newest ones", async () => {
  const moved = configuration([{ ...member(1), raft: "moved:1", http: "moved:2" }, member(4)]);
  await withNode({ log: [moved], applied: 1 }, async (dataDir) => {
    await said(dataDir, true);
    const found = readIdentity(disk, join(dataDir, "node-1"));
    assert.is(found.kind, "found");
    const own = found.kind === "found" ? found.identity.members : [];
    assert.equal(
      own.map(({ id, raft, http }) => ({ id, raft, http })),
      [{ id: nodeId(1), raft: "moved:1", http: "moved:2" }],
    );
  });
});

test("a log with a damaged end is recovered up to there, and that is said", async () => {
  await withNode({ log: [members(1, 2), members(1, 2, 4)], applied: 1 }, async (dataDir) => {
    const file = join(dataDir, "node-1/group-0/log/0000000000000001.log");
    const bytes = readFileSync(file);
    bytes[bytes.lastIndexOf(incarnationOf(4))] = 0x39;
    writeFileSync(file, bytes);
    const text = await said(dataDir, true);
    assert.match(text, /\.log: at byte \d+, .*; what came behind it is given up/);
    assert.match(text, /everything up to entry 1 /);
    assert.match(text, /^Done: node 1/m);
  });
});

test("a node that was removed is told so", async () => {
  await withNode({ log: [members(2, 3)], applied: 1 }, async (dataDir) => {
    const text = await said(dataDir, false);
    assert.match(text, /node 1 was removed from that cluster/);
    assert.match(text, /acknowledged by nodes 2, 3 and/);
  });
});

test.run();
