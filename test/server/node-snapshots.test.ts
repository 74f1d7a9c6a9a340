/** Logs that are compacted under way, and followers that come back to find their entries gone. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { PeerMessage } from "../../server/peer-message.ts";
import { must } from "../../server/raft/assert.ts";
import { index, term, type NodeId } from "../../server/raft/entry.ts";
import { SqliteError } from "../../storage/sqlite/port.ts";
import { shared } from "../harness/share.ts";
import { awaitEqual, cluster, isLastChunk, lagging, other, write } from "./snapshot-scene.ts";

test("the log stays short under writes, on every node, and nothing is lost", () => {
  const nodes = cluster();
  write(nodes, 400);
  nodes.time.run(1_000);
  for (const id of nodes.ids) {
    const node = nodes.node(id);
    assert.ok(node.firstLogIndex > 200, `node ${id} begins at ${node.firstLogIndex}`);
    assert.ok(nodes.host(id).log.bytes < 3 * (12 << 10), `node ${id}`);
    assert.ok(node.snapshotIndex >= node.firstLogIndex - 1);
  }
  awaitEqual(nodes);
});

test("nothing is compacted that the state machine might lose", () => {
  const nodes = cluster();
  const leader = nodes.awaitLeader();
  const { machine } = nodes.host(leader);
  const sync = machine.sync.bind(machine);
  let synced = 0;
  machine.sync = () => (synced = sync());
  write(nodes, 300);
  assert.ok(synced > 0);
  assert.ok(nodes.node(leader).firstLogIndex <= synced + 1);
});

test("the tail is short where the state is small, and longer where it is large", () => {
  const limits = { logEntriesMax: 10_000, logBytesMax: 1 << 20, logTailBytesMin: 8 << 10 };
  const kept = [
    [8 << 10, 0],
    [80 << 10, 0],
    // As large, and most of it deleted.
    [80 << 10, 72 << 10],
  ].map(([stateBytes = 0, reusableBytes = 0]) => {
    const nodes = cluster(limits);
    for (const id of nodes.ids) {
      Object.assign(nodes.host(id).machine, { stateBytes, reusableBytes });
    }
    write(nodes, 600);
    nodes.time.run(10_000);
    return nodes.host(nodes.awaitLeader()).log.bytes;
  });
  const [short = 0, long = 0, hollow = 0] = kept;
  assert.ok(short <= 8 << 10, `${short} bytes`);
  assert.ok(hollow <= 8 << 10, `${hollow} bytes`);
  assert.ok(long > 30 << 10 && long <= 40 << 10, `${long} bytes`);
});

test("what was applied last is made durable when nothing follows", () => {
  const nodes = cluster();
  write(nodes, 5);
  nodes.time.run(6_000);
  for (const id of nodes.ids) {
    assert.is(nodes.node(id).snapshotIndex, nodes.host(id).machine.applied.appliedIndex);
  }
});

test("a tail stays for a follower that comes back soon", () => {
  const nodes = cluster({ logEntriesMax: 200, logBytesMax: 1 << 20 });
  write(nodes, 300);
  const down = other(nodes, nodes.awaitLeader());
  nodes.crash(down);
  write(nodes, 100);
  let offers = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "snapshotOffer") offers++;
    return 1;
  };
  nodes.start(down);
  awaitEqual(nodes);
  assert.is(offers, 0);
});

test("a follower that is here keeps in the log what it lacks, as long as there is room", () => {
  const nodes = cluster({ logBytesMax: 1 << 20 });
  write(nodes, 10);
  const leader = nodes.awaitLeader();
  const slow = other(nodes, leader);
  const isHeldBack = (to: NodeId, message: PeerMessage): boolean =>
    to === slow && message.type === "append" && message.entries.length > 0;
  nodes.onMessage = (_from, to, message) => (isHeldBack(to, message) ? 0 : 1);
  const { machine } = nodes.host(slow);
  const from = machine.applied.appliedIndex;
  write(nodes, 200);
  assert.ok(nodes.node(leader).firstLogIndex <= from + 1);
  nodes.onMessage = () => 1;
  awaitEqual(nodes);
});

test("a follower down past compaction takes a snapshot in and goes on with the log", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  nodes.start(down);
  awaitEqual(nodes);
  assert.ok(nodes.node(down).firstLogIndex > 20);
  write(nodes, 30, "after");
  awaitEqual(nodes);
  nodes.crash(down);
  nodes.start(down);
  awaitEqual(nodes);
});

test("a flood of a snapshot's pieces leaves room for heartbeats", () => {
  const nodes = cluster({ inboxMessagesMax: 20 });
  const leader = nodes.awaitLeader();
  const follower = other(nodes, leader);
  let answers = 0;
  nodes.onMessage = (from, _to, { type }) => {
    if (from === follower && type === "heartbeatResponse") answers++;
    return 1;
  };
  const data = new Uint8Array(10);
  for (let i = 0; i < 100; i++) {
    nodes.deliver(follower, leader, { type: "snapshotChunk", id: 1, offset: 10 * i, data });
  }
  const current = term(nodes.node(leader).leadership.term);
  const times = { term: current, commitIndex: index(0), readRound: 0 };
  const heartbeat = { type: "heartbeat", ...times } as const;
  nodes.deliver(follower, leader, heartbeat);
  nodes.time.until(() => answers > 0, 10);
});

test("reads and writes go on while a snapshot is made and sent", () => {
  const nodes = cluster({ snapshotTickSteps: 1 });
  const down = lagging(nodes);
  // Of a large state so much of the log stays as is written until it has arrived.
  for (const id of nodes.running) nodes.host(id).machine.stateBytes = 1 << 20;
  nodes.start(down);
  let chunks = 0;
  let answered = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "snapshotChunk") chunks++;
    return 1;
  };
  while (nodes.host(down).machine.applied.appliedIndex < 200) {
    write(nodes, 1, "meanwhile");
    answered++;
    assert.ok(answered < 2000);
  }
  assert.ok(chunks > 3 && answered > 5, `${chunks} chunks, ${answered} writes`);
  awaitEqual(nodes);
});

test("beside writes a snapshot is sent a piece a tick, and without them as fast as it goes", () => {
  const [beside = 0, alone = 0] = [true, false].map((isBusy) => {
    const nodes = cluster({ snapshotTickBytes: 5_000, snapshotLeisureBytes: 1_000 });
    const down = lagging(nodes);
    for (const id of nodes.running) nodes.host(id).machine.stateBytes = 1 << 20;
    if (isBusy) write(nodes, 20);
    nodes.start(down);
    const ticks = new Set<number>();
    nodes.onMessage = (_from, _to, { type }) => {
      if (type === "snapshotChunk") ticks.add(Math.floor(nodes.time.nowMs / 25));
      return 1;
    };
    while (nodes.host(down).machine.applied.appliedIndex < 200) {
      if (isBusy) write(nodes, 1);
      else nodes.time.run(25);
    }
    awaitEqual(nodes);
    return ticks.size;
  });
  assert.ok(beside > alone + 1, `${beside} ticks beside writes, ${alone} without`);
});

test("a follower votes and answers heartbeats while it takes a snapshot in", () => {
  const nodes = cluster({ snapshotTickBytes: 1000 });
  const down = lagging(nodes);
  const leader = nodes.awaitLeader();
  const before = nodes.node(leader).leadership.term;
  nodes.start(down);
  let chunks = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "snapshotChunk") chunks++;
    return 1;
  };
  nodes.time.until(() => chunks > 0, 20_000);
  nodes.crash(other(nodes, leader, down));
  write(nodes, 5, "with two of three");
  assert.is(nodes.node(leader).leadership.term, before, "the leader kept its quorum");
  awaitEqual(nodes);
});

test("no more of a snapshot is on the way than the window holds", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  let acknowledged = 0;
  let furthest = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "snapshotProgress") acknowledged = message.offset;
    if (message.type === "snapshotChunk") {
      furthest = Math.max(furthest, message.offset + message.data.byteLength - acknowledged);
    }
    return 1;
  };
  nodes.start(down);
  awaitEqual(nodes);
  assert.ok(furthest > 1000 && furthest <= 4000, `${furthest} bytes`);
});

test("lost and repeated pieces of a snapshot cost time and nothing else", () => {
  for (const seed of shared(6, 1)) {
    const nodes = cluster({}, seed);
    const down = lagging(nodes);
    let count = 0;
    nodes.onMessage = (_from, _to, message) => {
      if (!message.type.startsWith("snapshot")) return 1;
      count++;
      return count % 5 === seed % 5 ? "lost" : count % 3 === 0 ? 2 : 1;
    };
    nodes.start(down);
    awaitEqual(nodes, 120_000);
    assert.equal(nodes.warnings, [], "nothing was put together wrongly");
  }
});

test("a piece that was lost is sent again before the transfer is given up", () => {
  for (const type of ["snapshotOffer", "snapshotChunk", "snapshotProgress"]) {
    const nodes = cluster();
    const down = lagging(nodes);
    let isLost = false;
    let offers = 0;
    nodes.onMessage = (_from, to, message) => {
      if (message.type === "snapshotOffer" && to === down) offers++;
      if (isLost || message.type !== type) return 1;
      isLost = true;
      return "lost";
    };
    nodes.start(down);
    awaitEqual(nodes, 9_000);
    assert.ok(isLost && offers <= 2);
  }
});

test("a receiver that is busy with what has arrived is not given up", () => {
  const times = { snapshotRetryMs: 100, snapshotTimeoutMs: 300 };
  const limits = { snapshotTickSteps: 1, snapshotWindowBytes: 1 << 20, ...times };
  const nodes = cluster(limits);
  const down = lagging(nodes);
  let offers = 0;
  let buildingMs = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "snapshotOffer") offers++;
    if (isLastChunk(message) && buildingMs === 0) buildingMs = nodes.time.nowMs;
    if (message.type !== "snapshotProgress") return 1;
    if (message.phase === "installed") buildingMs = nodes.time.nowMs - buildingMs;
    return 1;
  };
  nodes.start(down);
  awaitEqual(nodes);
  assert.ok(buildingMs > 400, `${buildingMs} ms`);
  assert.is(offers, 1);
});

test("a leader that hands over gives its snapshots up, and the next one sends its own", () => {
  const nodes = cluster({ snapshotTickBytes: 1000 });
  const down = lagging(nodes);
  const leader = nodes.awaitLeader();
  nodes.start(down);
  nodes.time.until(() => nodes.host(leader).snapshots?.newest !== null, 20_000);
  nodes.node(leader).handOver();
  nodes.time.until(() => nodes.node(leader).leadership.role === "follower", 5_000);
  assert.equal(nodes.host(leader).disk.list("group/snapshots"), []);
  awaitEqual(nodes);
});

test("a snapshot of a leader that was deposed meanwhile is not installed and not kept", () => {
  const nodes = cluster({ snapshotTickSteps: 1, snapshotWindowBytes: 1 << 20 });
  const down = lagging(nodes);
  const leader = nodes.awaitLeader();
  let isWhole = false;
  nodes.onMessage = (from, to, message) => {
    if (from === leader && to === down && isWhole) return 0;
    isWhole ||= isLastChunk(message);
    return 1;
  };
  nodes.start(down);
  nodes.time.until(() => isWhole, 20_000);
  nodes.node(leader).handOver();
  nodes.time.until(() => nodes.node(leader).leadership.role === "follower", 5_000);
  // No other may offer one, so that what becomes of the first is seen.
  nodes.onMessage = (_from, _to, message) => (message.type === "snapshotOffer" ? 0 : 1);
  nodes.time.run(20_000);
  assert.equal(nodes.host(down).disk.list("group/snapshots"), []);
  assert.ok(nodes.host(down).machine.applied.appliedIndex < 20);
  nodes.onMessage = () => 1;
  awaitEqual(nodes);
});

test("an offer of a leader of an older term is not taken", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  nodes.start(down);
  const offers: PeerMessage[] = [];
  nodes.onMessage = (_from, _to, message) => {
    if (message.type !== "snapshotOffer") return 1;
    offers.push({ ...message, term: term(message.term - 1) });
    return 0;
  };
  nodes.time.until(() => offers.length > 0, 20_000);
  nodes.deliver(down, nodes.awaitLeader(), must(offers[0], "it was seen"));
  nodes.time.run(200);
  assert.equal(nodes.host(down).disk.list("group/snapshots"), []);
});

test("a snapshot whose messages are cut off at any place is resumed or sent anew", () => {
  for (let cut = 0; cut < 12; cut++) {
    const nodes = cluster();
    const down = lagging(nodes);
    let count = 0;
    nodes.onMessage = (_from, _to, message) =>
      message.type.startsWith("snapshot") && count++ >= cut ? 0 : 1;
    nodes.start(down);
    nodes.time.run(15_000);
    nodes.onMessage = () => 1;
    awaitEqual(nodes);
  }
});

test("the receiver may lose power at any message of the transfer", () => {
  for (let cut = 1; cut < 30; cut++) {
    const nodes = cluster({}, cut);
    const down = lagging(nodes);
    let count = 0;
    nodes.onMessage = (_from, to, message) => {
      if (to === down && message.type.startsWith("snapshot") && ++count === cut) {
        nodes.time.at(nodes.time.nowMs, () => nodes.crash(down));
        nodes.time.at(nodes.time.nowMs + 500, () => nodes.start(down));
      }
      return 1;
    };
    nodes.start(down);
    nodes.time.run(1_000);
    awaitEqual(nodes);
    write(nodes, 3, "after");
    awaitEqual(nodes);
  }
});

test("the sender may lose power at any message of the transfer", () => {
  for (let cut = 1; cut < 30; cut++) {
    const nodes = cluster({}, cut);
    const down = lagging(nodes);
    const leader = nodes.awaitLeader();
    let count = 0;
    nodes.onMessage = (from, _to, message) => {
      if (from === leader && message.type.startsWith("snapshot") && ++count === cut) {
        nodes.time.at(nodes.time.nowMs, () => nodes.crash(leader));
        nodes.time.at(nodes.time.nowMs + 3_000, () => nodes.start(leader));
      }
      return 1;
    };
    nodes.start(down);
    nodes.time.run(6_000);
    awaitEqual(nodes);
  }
});

test("power loss at every disk operation of taking a snapshot in", () => {
  let points = 0;
  for (let at = 1; ; at++) {
    const nodes = cluster({}, at);
    const down = lagging(nodes);
    nodes.start(down);
    const { disk } = nodes.host(down);
    let count = 0;
    let isOver = false;
    disk.beforeOperation = (_operation, path) => {
      isOver ||= nodes.host(down).machine.applied.appliedIndex > 200 && path.includes("00");
      if (isOver || path.includes("hard-state")) return;
      if (++count === at) throw new Error("power loss");
    };
    nodes.time.until(() => nodes.host(down).died !== null || isOver, 30_000);
    if (isOver) break;
    points++;
    nodes.host(down).died = null;
    disk.beforeOperation = () => {};
    nodes.start(down);
    awaitEqual(nodes);
  }
  assert.ok(points > 5, `${points} points`);
});

test("a damaged snapshot is not taken in, and a new one is made", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  let flipped = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "snapshotChunk" && message.offset === 2000 && flipped === 0) {
      flipped++;
      message.data[500] = (message.data[500] ?? 0) ^ 4;
    }
    return 1;
  };
  nodes.start(down);
  awaitEqual(nodes);
  assert.is(flipped, 1);
  assert.match(nodes.warnings.join("\n"), /damaged/);
});

test("two snapshots in quick succession, a stale one and late appends change nothing back", () => {
  for (const seed of shared(5, 1)) {
    const nodes = cluster({ snapshotKeptMs: 500 }, seed);
    const down = lagging(nodes);
    const late: { from: NodeId; message: PeerMessage }[] = [];
    nodes.onMessage = (from, to, message) => {
      const isKept = message.type === "append" || message.type.startsWith("snapshot");
      if (to === down && isKept) late.push({ from, message });
      return 1;
    };
    nodes.start(down);
    awaitEqual(nodes);
    nodes.crash(down);
    write(nodes, 200, "second");
    nodes.start(down);
    awaitEqual(nodes);
    const before = nodes.host(down).machine.applied.appliedIndex;
    nodes.onMessage = () => 1;
    for (const { from, message } of late) {
      nodes.deliver(down, from, message);
      nodes.time.run(1);
    }
    nodes.time.run(15_000);
    assert.is(nodes.host(down).died, null);
    assert.ok(nodes.host(down).machine.applied.appliedIndex >= before);
    write(nodes, 3, "after");
    awaitEqual(nodes);
  }
});

test("a snapshot is not kept for ever, and what it held back is compacted", () => {
  const nodes = cluster({ snapshotKeptMs: 2_000 });
  const down = lagging(nodes);
  nodes.start(down);
  awaitEqual(nodes);
  const leader = nodes.awaitLeader();
  nodes.time.run(5_000);
  assert.is(nodes.host(leader).snapshots?.newest, null);
  const before = nodes.node(leader).firstLogIndex;
  write(nodes, 150);
  nodes.time.run(1_000);
  assert.ok(nodes.node(leader).firstLogIndex > before);
});

test("a disk without room for an incoming snapshot gets it when there is room", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  nodes.start(down);
  const { disk } = nodes.host(down);
  const { machine } = nodes.host(down);
  const begin = machine.beginRecovery.bind(machine);
  let refusals = 0;
  machine.beginRecovery = (...about) => ({
    ...begin(...about),
    add: () => {
      refusals++;
      throw new SqliteError("state.sqlite-incoming", "SQLITE_FULL", "the disk is full");
    },
  });
  nodes.time.run(3_000);
  assert.ok(refusals > 0);
  assert.is(nodes.host(down).died, null);
  assert.equal(disk.list("group/snapshots"), []);
  machine.beginRecovery = begin;
  awaitEqual(nodes);
});

test("who never has room for a snapshot keeps neither the log nor the leader busy, and gets it later", () => {
  const nodes = cluster({ snapshotKeptMs: 5_000, snapshotTimeoutMs: 2_000 });
  const down = lagging(nodes);
  nodes.start(down);
  const snapshots = must(nodes.host(down).snapshots, "it runs");
  const accept = snapshots.accept.bind(snapshots);
  snapshots.accept = () => "full";
  let offers = 0;
  nodes.onMessage = (_, to, message) => {
    if (to === down && message.type === "snapshotOffer") offers++;
    return 1;
  };
  let longest = 0;
  const leader = nodes.awaitLeader();
  for (let round = 0; round < 30; round++) {
    write(nodes, 60);
    nodes.time.run(2_000);
    longest = Math.max(longest, nodes.host(leader).log.bytes);
  }
  assert.is(nodes.leader, leader);
  assert.ok(longest < 3 * (12 << 10), `${longest} bytes of log`);
  assert.ok(offers > 1 && offers < 15, `${offers} offers in a minute`);
  assert.ok(nodes.warnings.some((text) => text.includes(`node ${down} has no room`)));
  snapshots.accept = accept;
  awaitEqual(nodes);
});

test("a follower that breaks off again and again does not keep the log for ever", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  nodes.start(down);
  for (const id of nodes.ids) nodes.host(id).machine.stateBytes = 8 << 10;
  let crashes = 0;
  nodes.onMessage = (_, to, message) => {
    if (to !== down || !isLastChunk(message)) return 1;
    crashes++;
    nodes.time.at(nodes.time.nowMs, () => {
      nodes.crash(down);
      nodes.start(down);
    });
    return "lost";
  };
  const leader = nodes.awaitLeader();
  let longest = 0;
  for (let round = 0; round < 30; round++) {
    write(nodes, 60);
    nodes.time.run(500);
    longest = Math.max(longest, nodes.host(leader).log.bytes);
  }
  assert.ok(crashes > 5, `${crashes} crashes`);
  assert.ok(longest < 5 * (12 << 10), `${longest} bytes of log`);
  nodes.onMessage = () => 1;
  awaitEqual(nodes);
});

test("a snapshot that cannot find room is refused before a byte of it comes", () => {
  const nodes = cluster();
  const down = lagging(nodes);
  nodes.start(down);
  const { disk } = nodes.host(down);
  disk.capacityBytes = disk.usedBytes + 1_000;
  let chunks = 0;
  nodes.onMessage = (_, to, message) => {
    if (to === down && message.type === "snapshotChunk") chunks++;
    return 1;
  };
  nodes.time.run(3_000);
  assert.is(chunks, 0);
  assert.is(nodes.host(down).died, null);
  disk.capacityBytes = Infinity;
  awaitEqual(nodes);
});

test.run();
