/** Nodes with short logs, and a follower that has fallen behind them. */

import * as assert from "uvu/assert";
import type { Limits } from "../../server/limits.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { must } from "../../server/raft/assert.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

export const small: Partial<Limits> = {
  logEntriesMax: 40,
  logBytesMax: 12 << 10,
  snapshotChunkBytes: 1000,
  snapshotWindowBytes: 3000,
  snapshotTickSteps: 2,
};

export function cluster(limits: Partial<Limits> = {}, seed = 1): SimulatedNodes {
  return new SimulatedNodes({ count: 3, seed, limits: { ...small, ...limits } });
}

/** Writes one after the other, so that each is an entry of its own time; keys repeat. */
export function write(nodes: SimulatedNodes, count: number, text = "value"): void {
  for (let i = 0; i < count; i++) {
    const leader = nodes.awaitLeader();
    const call = nodes.put(leader, `k${i % 60}`, `${text} ${i} ${"x".repeat(40)}`);
    nodes.time.until(() => call.answer !== null, 5_000);
    assert.ok(call.answer?.ok, "the write is acknowledged");
  }
}

export const other = (nodes: SimulatedNodes, ...ids: NodeId[]): NodeId =>
  must(
    nodes.ids.find((id) => !ids.includes(id)),
    "there is another node",
  );

/** After it the receiver has everything, and a state to make of it. */
export const isLastChunk = (message: PeerMessage): boolean =>
  message.type === "snapshotChunk" &&
  message.data.byteLength < must(small.snapshotChunkBytes, "set");

export const hash = (nodes: SimulatedNodes, id: NodeId): string =>
  nodes.host(id).machine.digest().stateHash;

/** Until every running node has applied all and has the same rows. */
export function awaitEqual(nodes: SimulatedNodes, limitMs = 60_000): void {
  nodes.time.until(() => {
    const leader = nodes.leader;
    if (leader === null) return false;
    const { lastLogIndex } = nodes.node(leader);
    return nodes.running.every(
      (id) => nodes.host(id).machine.applied.appliedIndex === lastLogIndex,
    );
  }, limitMs);
  for (const id of nodes.running)
    assert.is(hash(nodes, id), hash(nodes, must(nodes.leader, "one")));
}

/** A follower that was down while the others compacted what it needs. */
export function lagging(nodes: SimulatedNodes): NodeId {
  write(nodes, 10);
  const down = other(nodes, nodes.awaitLeader());
  nodes.crash(down);
  write(nodes, 250);
  nodes.time.run(1_000);
  const { firstLogIndex } = nodes.node(nodes.awaitLeader());
  assert.ok(firstLogIndex > 20, "what the follower needs is compacted");
  return down;
}
