/** What a node keeps in memory of a snapshot that comes faster than it can be built. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import type { SnapshotProgress } from "../../server/peer-message.ts";
import type { Clock, SnapshotStore } from "../../server/ports.ts";
import { configuration } from "../../server/raft/configuration.ts";
import { index, nodeId, term } from "../../server/raft/entry.ts";
import { SnapshotReceiver } from "../../server/snapshot-receiver.ts";

const sender = nodeId(1);
const members = configuration([
  { id: sender, role: "voter", raft: "a:1", http: "a:2", incarnation: "1" },
]);
const chunkBytes = 128 << 10;
const totalBytes = 20 << 20;
/** Of a chunk: slower than it is sent. */
const buildMs = 150;

test("what has come and is not built stays within the window, and the sender knows of life", () => {
  let nowMs = 0;
  let written = 0;
  let built = 0;
  const store = {
    accept: () => 0,
    write: (data: Uint8Array) => void (written += data.byteLength),
    get hasWork() {
      return written - built >= chunkBytes;
    },
    build: () => {
      nowMs += buildMs;
      built += chunkBytes;
      return "more";
    },
    drop() {},
  } as unknown as SnapshotStore;
  const told: SnapshotProgress[] = [];
  const limits = defaultLimits;
  const receiver = new SnapshotReceiver({
    store,
    limits,
    clock: { monotonicMs: () => nowMs } as Clock,
    warn: (text) => assert.unreachable(text),
    send: (_to, message) => {
      if (message.type === "snapshotProgress") told.push(message);
      return true;
    },
  });
  const about = { term: term(1), lastIndex: index(1), lastTerm: term(1), configuration: members };
  const offer = { type: "snapshotOffer", ...about, id: 7, bytes: totalBytes } as const;
  receiver.offer(sender, offer, nowMs);
  const data = new Uint8Array(chunkBytes);
  let most = 0;
  for (let tick = 0; tick < 10_000; tick++) {
    if (written === totalBytes) break;
    nowMs += limits.tickMs;
    const acknowledged = told.at(-1)?.offset ?? 0;
    // As a sender that never hears that something was lost, and sends what the window lets it.
    const end = Math.min(totalBytes, acknowledged + limits.snapshotWindowBytes);
    for (let offset = acknowledged; offset < end; offset += chunkBytes) {
      receiver.chunk(sender, { type: "snapshotChunk", id: 7, offset, data }, nowMs);
    }
    const toldBefore = told.length;
    const beganMs = nowMs;
    receiver.tick(nowMs);
    most = Math.max(most, written - built);
    const isSilent = told.length === toldBefore && nowMs - beganMs > 2 * limits.snapshotRetryMs;
    assert.not(isSilent, "it says that it lives");
  }
  assert.is(written, totalBytes, "all of it comes");
  assert.ok(most <= limits.snapshotWindowBytes + chunkBytes, `${most} bytes in memory`);
  assert.ok(told.some(({ phase }) => phase === "building"));
});

test("how long it takes to build is not the silence of the sender", () => {
  let nowMs = 0;
  let hasWork = false;
  let isDropped = false;
  let isLastStep = false;
  const store = {
    accept: () => 0,
    write: () => void (hasWork = true),
    get hasWork() {
      return hasWork;
    },
    build: () => {
      hasWork = !isLastStep;
      return "more";
    },
    drop: () => void (isDropped = true),
  } as unknown as SnapshotStore;
  const limits = { ...defaultLimits, snapshotTickSteps: 1 };
  const receiver = new SnapshotReceiver({
    ...{ store, limits, clock: { monotonicMs: () => nowMs } as Clock },
    warn: (text) => assert.unreachable(text),
    send: () => true,
  });
  const about = { term: term(1), lastIndex: index(1), lastTerm: term(1), configuration: members };
  receiver.offer(sender, { type: "snapshotOffer", ...about, id: 7, bytes: totalBytes }, nowMs);
  const data = new Uint8Array(chunkBytes);
  receiver.chunk(sender, { type: "snapshotChunk", id: 7, offset: 0, data }, nowMs);
  for (const endMs = 2 * limits.snapshotTimeoutMs; nowMs < endMs; nowMs += limits.tickMs) {
    receiver.tick(nowMs);
  }
  isLastStep = true;
  receiver.tick(nowMs);
  const toldMs = nowMs;
  while (nowMs < toldMs + limits.snapshotTimeoutMs - limits.tickMs) {
    nowMs += limits.tickMs;
    receiver.tick(nowMs);
    assert.not(isDropped, `after ${nowMs - toldMs} ms`);
  }
  nowMs += 2 * limits.tickMs;
  receiver.tick(nowMs);
  assert.ok(isDropped, "then it is given up");
});

test.run();
