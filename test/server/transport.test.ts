/** Two and more transports over loopback, and ends that do not play by the rules. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { FrameAssembler, frameHeader } from "../../server/frame.ts";
import type { PeerIdentity, Refusal } from "../../server/handshake.ts";
import { decodePeerMessage, PeerEncoder } from "../../server/peer-codec.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import { must } from "../../server/raft/assert.ts";
import { nodeId, type NodeId } from "../../server/raft/entry.ts";
import { meaningOf, type Refused } from "../../server/refusals.ts";
import { PeerTransport, type TransportOptions } from "../../server/transport.ts";
import { systemClock, systemRandom } from "../../cmd/system.ts";
import { identityOf } from "./peer-identities.ts";
import { append, entry, everyPeerMessage, heartbeat } from "./peer-messages.ts";
import { DeafPeer, dialAs, RawSocket, until } from "./raw-peer.ts";

/** A transport that writes down what happens to it. */
class Station {
  readonly id: NodeId;
  readonly transport: PeerTransport;
  identity: PeerIdentity;
  readonly messages: PeerMessage[] = [];
  readonly senders = new Set<NodeId>();
  readonly connected: PeerIdentity[] = [];
  readonly disconnected: NodeId[] = [];
  readonly refused: (Refused & { peer: NodeId })[] = [];
  readonly warnings: string[] = [];
  verdict: Refusal | null = null;

  constructor(id: number, changes: Partial<TransportOptions> = {}) {
    this.id = nodeId(id);
    this.identity = identityOf(id);
    this.transport = new PeerTransport({
      self: this.id,
      listen: { host: "127.0.0.1", port: 0 },
      peers: new Map(),
      secret: null,
      identity: () => this.identity,
      clock: systemClock,
      random: systemRandom,
      events: {
        admit: () => this.verdict,
        connected: (peer) => this.connected.push(peer),
        disconnected: (peer) => this.disconnected.push(peer),
        refused: (peer, refused) => this.refused.push({ peer, ...refused }),
        message: (from, message) => {
          this.senders.add(from);
          this.messages.push(message);
        },
        warn: (text) => this.warnings.push(text),
      },
      ...changes,
    });
    opened.push(this);
  }

  get port(): number {
    return must(this.transport.port, "the transport listens");
  }

  /** Knows `others` as its peers, at the ports they are open at. */
  knows(...others: { id: number; port: number }[]): void {
    this.transport.setPeers(
      new Map(others.map(({ id, port }) => [nodeId(id), { host: "127.0.0.1", port }])),
    );
  }

  reaches(peer: number): Promise<void> {
    return until(`node ${this.id} reaches ${peer}`, () => this.transport.isConnected(nodeId(peer)));
  }

  say(to: number, message: PeerMessage): boolean {
    const isTaken = this.transport.send(nodeId(to), message);
    this.transport.flush();
    return isTaken;
  }
}

const opened: Station[] = [];
const deaf: DeafPeer[] = [];

test.after.each(() => {
  for (const peer of deaf.splice(0)) peer.close();
  for (const { transport } of opened.splice(0)) transport.close();
});

async function station(id: number, changes: Partial<TransportOptions> = {}): Promise<Station> {
  const made = new Station(id, changes);
  await made.transport.start();
  return made;
}

/** Nodes 1 and 2, each connected to the other. */
async function pair(changes: Partial<TransportOptions> = {}): Promise<[Station, Station]> {
  const one = await station(1, changes);
  const two = await station(2, changes);
  one.knows(two);
  two.knows(one);
  await one.reaches(2);
  await two.reaches(1);
  return [one, two];
}

/** Node 1 connected to a node 2 that does not read. */
async function pairWithDeaf(limits: TransportOptions["limits"] = {}): Promise<[Station, DeafPeer]> {
  const peer = await DeafPeer.open(2);
  deaf.push(peer);
  const one = await station(1, { limits });
  one.knows({ id: 2, port: peer.port });
  await one.reaches(2);
  return [one, peer];
}

function frameOf(message: PeerMessage): Uint8Array {
  const { head, tail } = new PeerEncoder().encode(message);
  return Uint8Array.of(...frameHeader(head, tail), ...head, ...(tail ?? []));
}

const rounds = (messages: readonly PeerMessage[]): number[] =>
  messages.map((message) => (message.type === "heartbeat" ? message.readRound : -1));

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test("every type of message arrives, in order, with its sender's id", async () => {
  const [one, two] = await pair();
  for (const message of everyPeerMessage) assert.ok(one.transport.send(two.id, message));
  one.transport.flush();
  await until("all messages", () => two.messages.length === everyPeerMessage.length);
  assert.equal(two.messages, everyPeerMessage);
  assert.equal([...two.senders], [one.id]);
  assert.equal(one.messages, []);
});

test("each side learns the identity of the other", async () => {
  const [one, two] = await pair({ secret: new TextEncoder().encode("shared") });
  assert.equal(one.connected, [identityOf(2)]);
  assert.equal(two.connected, [identityOf(1)]);
});

test("nothing leaves before the flush", async () => {
  const [one, two] = await pair();
  one.transport.send(two.id, heartbeat(0));
  assert.is(one.transport.counters(two.id)?.queuedFrames, 1);
  one.transport.flush();
  assert.is(one.transport.counters(two.id)?.queuedFrames, 0);
  await until("the message", () => two.messages.length === 1);
});

test("appends with the same entries reach several peers, each with its own commit index", async () => {
  const [one, two] = await pair();
  const three = await station(3);
  one.knows(two, three);
  await one.reaches(3);
  const message = append(3, [entry(3), entry(4, 2_000)]);
  one.transport.send(two.id, message);
  one.transport.send(three.id, { ...message, commitIndex: 0 } as PeerMessage);
  one.transport.flush();
  await until("both", () => two.messages.length === 1 && three.messages.length === 1);
  assert.equal(two.messages, [message]);
  assert.equal(three.messages, [{ ...message, commitIndex: 0 }]);
});

test("many large messages arrive in order although the socket cannot take them at once", async () => {
  const [one, two] = await pair();
  const count = 24;
  for (let i = 0; i < count; i++) {
    assert.ok(one.transport.send(two.id, append(i + 1, [entry(i + 1, 1 << 20)])));
    assert.ok(one.transport.send(two.id, heartbeat(i)));
  }
  one.transport.flush();
  await until("all messages", () => two.messages.length === 2 * count, 30_000);
  assert.equal(rounds(two.messages.filter(({ type }) => type === "heartbeat")), upTo(count));
});

test("a message to nobody, or before a connection stands, is refused", async () => {
  const one = await station(1);
  one.knows({ id: 2, port: one.port });
  assert.not(one.say(2, heartbeat(0)));
  assert.not(one.say(3, heartbeat(0)));
});

test("a taken port is said by name", async () => {
  const one = await station(1);
  const late = new Station(2, { listen: { host: "127.0.0.1", port: one.port } });
  try {
    await late.transport.start();
    assert.unreachable();
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, "EADDRINUSE");
  }
});

test("a peer that restarts is found again", async () => {
  const [one, two] = await pair();
  const { port } = two;
  two.transport.close();
  await until("the loss", () => one.disconnected.length === 1);
  assert.not(one.transport.isConnected(two.id));
  const again = await station(2, { listen: { host: "127.0.0.1", port } });
  await one.reaches(2);
  assert.ok(one.say(2, heartbeat(5)));
  await until("the message", () => again.messages.length === 1);
});

test("a peer that dials us is dialed back at once", async () => {
  const limits = { redialMinMs: 600_000, redialMaxMs: 600_000 };
  const one = await station(1, { limits });
  const two = new Station(2);
  await two.transport.listen();
  const { port } = two;
  two.transport.close();
  one.knows({ id: 2, port });
  const again = new Station(2, { listen: { host: "127.0.0.1", port } });
  // The first attempt has failed by the time that a second socket has been through a handshake.
  (await dialAs(3, 1, one.port)).socket.destroy();
  await again.transport.start();
  again.knows(one);
  await one.reaches(2);
});

test("another secret is refused, and both know why", async () => {
  const one = await station(1, { secret: new TextEncoder().encode("one") });
  const two = await station(2, { secret: new TextEncoder().encode("two") });
  one.knows(two);
  await until("the refusal", () => one.refused.length > 0);
  assert.is(one.refused[0]?.refusal.reason, "wrongSecret");
  assert.is(one.refused[0]?.identity, null);
  assert.match(two.warnings[0] ?? "", /wrongSecret/);
  assert.equal(two.connected, []);
});

test("the acceptor's verdict reaches the dialer with the acceptor's identity", async () => {
  const one = await station(1);
  const two = await station(2);
  two.verdict = { reason: "wrongCluster", detail: "not one of us" };
  one.knows(two);
  await until("the refusal", () => one.refused.length > 0);
  const { peer, refusal, identity } = must(one.refused[0], "there is a refusal");
  assert.is(peer, two.id);
  assert.equal(refusal, two.verdict);
  assert.equal(identity, { ...identityOf(2), incarnation: "0".repeat(32), members: [] });
  assert.not(one.transport.isConnected(two.id));
});

test("whose verdict it was is told: one's own of the peer says nothing about oneself", async () => {
  for (const isTheirs of [true, false]) {
    const one = await station(1);
    const two = await station(2);
    const judge = isTheirs ? two : one;
    judge.verdict = { reason: "retired", detail: "it was removed" };
    one.knows(two);
    await until("the refusal", () => one.refused.length > 0);
    const refused = must(one.refused[0], "there is a refusal");
    assert.is(refused.isTheirs, isTheirs);
    assert.is(meaningOf(refused, true), isTheirs ? "retired" : "strange");
  }
});

test("a refused peer that is welcome later gets in by itself", async () => {
  const one = await station(1);
  const two = await station(2);
  two.verdict = { reason: "malformed", detail: "still starting" };
  one.knows(two);
  await until("refusals", () => one.refused.length > 1);
  two.verdict = null;
  await one.reaches(2);
});

test("after redial the other side knows the new identity", async () => {
  // An attempt that fails would have to wait longer than the test does.
  const [one, two] = await pair({ limits: { redialMinMs: 600_000, redialMaxMs: 600_000 } });
  const seen: PeerIdentity[] = two.connected;
  one.identity = { ...identityOf(1), clusterId: "d".repeat(32) };
  two.transport.redial();
  await until("a second meeting", () => seen.length === 2);
  assert.is(seen[1]?.clusterId, "d".repeat(32));
  assert.equal(two.disconnected, [one.id]);
  await two.reaches(1);
});

test("redial and close may be called from within an event", async () => {
  const two = await station(2);
  const events: string[] = [];
  let nonces = 0;
  const bytes = (count: number): Uint8Array => {
    nonces++;
    return systemRandom.bytes(count);
  };
  const one: Station = new Station(1, {
    random: { ...systemRandom, bytes },
    events: {
      admit: () => null,
      connected: () => {
        events.push("connected");
        if (events.length < 4) one.transport.redial();
      },
      disconnected: () => {
        events.push("disconnected");
        if (events.length >= 6) one.transport.close();
      },
      refused: () => {},
      message: () => {},
      warn: () => {},
    },
  });
  await one.transport.start();
  one.knows(two);
  await until("the third connection", () => events.length === 5);
  one.transport.redial();
  assert.is(events.join(" "), new Array(3).fill("connected disconnected").join(" "));
  assert.is(nonces, 3, "one for each attempt to connect");
});

test("a peer that moved is dialed at its new address, one that left not at all", async () => {
  const [one, two] = await pair();
  const moved = await station(2);
  one.knows(moved);
  await one.reaches(2);
  one.say(2, heartbeat(1));
  await until("the message", () => moved.messages.length === 1);
  assert.equal(two.messages, []);
  one.knows();
  assert.not(one.transport.isConnected(two.id));
  assert.equal(one.disconnected, [two.id, two.id]);
});

test("a peer that never reads costs a bounded outbox, and the rest is dropped", async () => {
  const limits = { outboxBytesMax: 4 << 20, outboxFramesMax: 100, pingMs: 600_000 };
  const [one] = await pairWithDeaf(limits);
  let refused = 0;
  for (let i = 0; i < 300; i++) if (!one.say(2, append(i + 1, [entry(i + 1, 200_000)]))) refused++;
  const full = must(one.transport.counters(nodeId(2)), "node 2 is a peer");
  assert.ok(refused > 100, `${refused} refused`);
  assert.is(full.dropped, refused);
  assert.ok(full.queuedBytes <= limits.outboxBytesMax && full.queuedBytes > 3 << 20);
  for (let i = 0; i < 200; i++) one.say(2, heartbeat(i));
  assert.is(one.transport.counters(nodeId(2))?.queuedFrames, limits.outboxFramesMax);
});

test("a peer that reads again gets what was kept, in order and without a hole", async () => {
  const [one, peer] = await pairWithDeaf({ pingMs: 600_000 });
  const count = 120;
  for (let i = 0; i < count; i++) assert.ok(one.say(2, append(i + 1, [entry(i + 1, 200_000)])));
  assert.ok(must(one.transport.counters(nodeId(2)), "a peer").queuedFrames > 0);
  const heard: number[] = [];
  const frames = new FrameAssembler();
  peer.hear((chunk) => {
    const problem = frames.push(chunk, (payload) => {
      const decoded = decodePeerMessage(payload);
      if (!decoded.ok || decoded.message.type !== "append") return false;
      return heard.push(decoded.message.previousIndex) > 0;
    });
    assert.is(problem, null);
  });
  await until("all of it", () => heard.length === count, 30_000);
  assert.equal(heard, upTo(count));
  assert.is(one.transport.counters(nodeId(2))?.queuedBytes, 0);
});

test("a peer that answers no ping is given up", async () => {
  const [one] = await pairWithDeaf({ pingMs: 20, unansweredPingsMax: 3 });
  await until("the loss", () => one.disconnected.length > 0);
});

test("an idle pair that answers its pings stays connected", async () => {
  const limits = { pingMs: 10, unansweredPingsMax: 20, idlePingsMax: 20 };
  const ticks: number[] = [];
  const counting = {
    ...systemClock,
    every: (ms: number, run: () => void) =>
      systemClock.every(ms, () => {
        ticks.push(ms);
        run();
      }),
  };
  const [one, two] = await pair({ limits, clock: counting });
  await until("twice as many pings as may stay unanswered", () => ticks.length > 80);
  assert.equal([...one.disconnected, ...two.disconnected], []);
});

test("an inbound connection without a sign of life is closed", async () => {
  const one = await station(1, { limits: { pingMs: 20, idlePingsMax: 3 } });
  const silent = await dialAs(2, 1, one.port);
  await silent.closed();
});

test("a newer connection of the same node closes the older", async () => {
  const one = await station(1);
  const older = await dialAs(2, 1, one.port);
  const newer = await dialAs(2, 1, one.port);
  await older.closed();
  newer.socket.write(frameOf(heartbeat(9)));
  await until("the message", () => one.messages.length === 1);
  assert.not(newer.isClosed);
  newer.socket.destroy();
});

test("garbage, HTTP and a message without a handshake are closed at once", async () => {
  const one = await station(1);
  const inputs = [
    new TextEncoder().encode("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    new Uint8Array(100_000).fill(0x91),
    frameOf(heartbeat(1)),
  ];
  for (const input of inputs) {
    const raw = await RawSocket.open(one.port);
    raw.socket.write(input);
    await raw.closed(1_500);
    assert.is(raw.received, 0);
  }
  assert.equal(one.messages, []);
});

test("one byte at a time does not hold a connection past the deadline", async () => {
  const one = await station(1, { limits: { handshakeMs: 150 } });
  const slow = await RawSocket.open(one.port);
  const hello = Uint8Array.of(0x6b, 0x76, 0x50, 0x52, 0, 1, ...new Uint8Array(16));
  let sent = 0;
  const dripping = setInterval(() => slow.socket.write(hello.subarray(sent, ++sent)), 30);
  try {
    await slow.closed(5_000);
  } finally {
    clearInterval(dripping);
  }
});

test("a node of another version is told ours, and closed", async () => {
  const one = await station(1);
  const raw = await RawSocket.open(one.port);
  raw.socket.write(Uint8Array.of(0x6b, 0x76, 0x50, 0x52, 0, 9));
  await raw.closed(1_500);
  assert.is(raw.received, 22);
  assert.match(one.warnings[0] ?? "", /version 9/);
});

test("hundreds of idle sockets do not keep a peer out", async () => {
  const one = await station(1, { limits: { handshakeMs: 600_000, strangersMax: 16 } });
  const idle: RawSocket[] = [];
  for (let i = 0; i < 200; i++) idle.push(await RawSocket.open(one.port));
  await until("all but sixteen are closed", () => idle.filter((s) => s.isClosed).length === 184);
  const two = await station(2);
  two.knows(one);
  await two.reaches(1);
  for (const { socket } of idle) socket.destroy();
});

test("a frame that claims four gigabytes closes the connection", async () => {
  const one = await station(1);
  const raw = await dialAs(2, 1, one.port);
  const header = frameOf(heartbeat(1)).slice(0, 12);
  header.fill(0xff, 0, 4);
  raw.socket.write(header);
  await raw.closed();
  assert.match(one.warnings[0] ?? "", /node 2 .* 4294967295 bytes/);
});

test("a bomb inside a good frame closes the connection, and what came before it counts", async () => {
  const one = await station(1);
  const raw = await dialAs(2, 1, one.port);
  const bomb = new Uint8Array(4_500).fill(0x91);
  const good = frameOf(heartbeat(1));
  raw.socket.write(Uint8Array.of(...good, ...frameHeader(bomb, null), ...bomb, ...good));
  await raw.closed();
  assert.equal(rounds(one.messages), [1]);
  assert.match(one.warnings[0] ?? "", /nested deeper/);
});

test("warnings are bounded in number, and the rest is counted", async () => {
  const one = await station(1, { limits: { warningsMax: 3, pingMs: 300 } });
  await until("a tick", () => one.transport.port !== null);
  for (let i = 0; i < 40; i++) {
    const raw = await RawSocket.open(one.port);
    raw.socket.write("x");
    await raw.closed();
  }
  await until("the count", () => one.warnings.some((text) => /more warnings/.test(text)));
  assert.ok(one.warnings.filter((text) => /malformed/.test(text)).length < 40);
});

test("after close the port is free and nothing happens any more", async () => {
  const [one, two] = await pair();
  const { port } = one;
  one.transport.close();
  const before = one.connected.length;
  const heir = await station(1, { listen: { host: "127.0.0.1", port } });
  await two.reaches(1);
  await until("the heir is connected", () => two.connected.length === 2);
  two.say(1, heartbeat(1));
  await until("the message", () => heir.messages.length === 1);
  assert.equal([one.connected.length, one.messages.length], [before, 0]);
});

test.run();
