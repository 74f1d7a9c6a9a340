/** Strangers on the peer port: closed in bounded time and memory, without a change of term. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster, type ClusterNode } from "./cluster.ts";
import { RawConnection } from "./http.ts";
import { type Scope, scenario, shared } from "./scope.ts";
import { inTime, pause, until } from "./wait.ts";

const cluster = shared((scope) => Cluster.start(scope));

/** A stranger who says nothing sensible is shown the door after this long at the most. */
const closeMs = 20_000;
const growthBytesMax = 16 << 20;

/** Runs on the leader, whose term must not change, and a follower, who must not call an election. */
function peerScenario(name: string, run: (node: ClusterNode, scope: Scope) => Promise<void>): void {
  scenario(name, async (scope) => {
    const leader = await cluster().whole();
    const follower = cluster().nodes.find((node) => node !== leader);
    assert.ok(follower);
    const before = await leader.status();
    await Promise.all([run(leader, scope), run(follower, scope)]);
    for (const node of cluster().nodes) {
      assert.ok(node.isRunning, `node ${node.id} lives`);
      const after = await node.status();
      assert.is(after.term, before.term);
      assert.is(after.leaderId, leader.id);
      await node.mustPut("peer", name);
    }
  });
}

async function assertClosed(connection: RawConnection, what: string): Promise<void> {
  await inTime(`${what} is closed`, closeMs, connection.closed);
}

const garbage: [what: string, bytes: Uint8Array][] = [
  ["random bytes", randomBytes(4_096)],
  ["zeros", Buffer.alloc(4_096)],
  ["ones", Buffer.alloc(4_096, 0xff)],
  ["a request of HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
  ["nested arrays of msgpack", Buffer.alloc(4_500, 0x91)],
  ["a length of 4 GiB", Buffer.concat([Buffer.alloc(4, 0xff), randomBytes(64)])],
  ["a length of 2 GiB in the other order", Buffer.from([0, 0, 0, 0x80, 1, 2, 3, 4])],
  ["a length of nothing", Buffer.alloc(64)],
];

peerScenario("garbage is answered with the end of the connection", async (node, scope) => {
  for (const [what, bytes] of garbage) {
    const connection = await RawConnection.open(scope, node.raftPort);
    connection.write(bytes);
    await assertClosed(connection, what);
  }
});

peerScenario("silence and a byte a second are borne for a bounded time", async (node, scope) => {
  const silent = await RawConnection.open(scope, node.raftPort);
  const slow = await RawConnection.open(scope, node.raftPort);
  const drip = (async () => {
    while (!slow.isClosed) {
      slow.write(Uint8Array.of(0));
      await pause(1_000);
    }
  })();
  await Promise.all([assertClosed(silent, "a silent one"), assertClosed(slow, "a slow one")]);
  await drip;
});

function residentBytes(node: ClusterNode): number | null {
  try {
    const status = readFileSync(`/proc/${node.process.pid}/status`, "utf8");
    return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  } catch {
    return null;
  }
}

scenario("a length of 4 GiB, followed by as much as is taken, costs no memory", async (scope) => {
  const node = cluster().node(1);
  const flood = async (): Promise<void> => {
    const connection = await RawConnection.open(scope, node.raftPort);
    connection.write(Buffer.alloc(4, 0xff));
    for (let count = 0; count < 64 && !connection.isClosed; count++) {
      connection.write(Buffer.alloc(1 << 20, 0x61));
    }
    await assertClosed(connection, "the flood");
  };
  // The first one warms up what is allocated once.
  await flood();
  const before = residentBytes(node);
  if (before === null) return skipped("this system does not tell a process's memory under /proc");
  for (let count = 0; count < 8; count++) await flood();
  await until("memory is as before", 5_000, () => {
    const growth = (residentBytes(node) ?? 0) - before;
    if (growth > growthBytesMax) throw new Error(`grown by ${growth} bytes`);
    return true;
  });
});

peerScenario("many strangers at once leave the members' connections alone", async (node, scope) => {
  const strangers = await Promise.all(
    Array.from({ length: 100 }, () => RawConnection.open(scope, node.raftPort)),
  );
  for (const stranger of strangers) stranger.write(randomBytes(16));
  await node.mustPut("crowd", "x");
  await Promise.all(strangers.map((stranger) => assertClosed(stranger, "a stranger")));
});

test.run();
