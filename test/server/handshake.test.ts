/** Who gets past the handshake, who does not, and what each side learns. */

import { createHmac } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  AcceptorHandshake,
  DialerHandshake,
  nonceBytes,
  type DialerOptions,
  type HandshakeOptions,
  type HandshakeStep,
  type Refusal,
} from "../../server/handshake.ts";
import { judgePeer } from "../../server/formation.ts";
import { must } from "../../server/raft/assert.ts";
import { nodeId } from "../../server/raft/entry.ts";
import { Random } from "../raft/random.ts";
import { identityOf } from "./peer-identities.ts";

const secret = new TextEncoder().encode("a secret between three nodes");
const random = new Random(42);
const freshNonce = (): Uint8Array =>
  Uint8Array.from({ length: nonceBytes }, () => random.below(256));

function side(id: number): HandshakeOptions {
  const identity = identityOf(id);
  return {
    self: nodeId(id),
    secret,
    nonce: freshNonce(),
    identity: () => identity,
    judge: (peer) => judgePeer(identity, peer),
  };
}

/** Node 1 dials node 2. */
const dialer = (changes: Partial<DialerOptions> = {}): DialerHandshake =>
  new DialerHandshake({ ...side(1), to: nodeId(2), ...changes });

const acceptor = (changes: Partial<HandshakeOptions> = {}): AcceptorHandshake =>
  new AcceptorHandshake({ ...side(2), ...changes });

interface Meeting {
  dialed: HandshakeStep;
  accepted: HandshakeStep;
  /** All that the dialer sent, piece by piece. */
  sent: Uint8Array[];
}

/** Carries bytes between the two until neither has more to say. */
function meet(d: DialerHandshake, a: AcceptorHandshake, chunkBytes = Infinity): Meeting {
  let dialed: HandshakeStep = { state: "waiting", send: d.hello };
  let accepted: HandshakeStep = { state: "waiting", send: null };
  const sent: Uint8Array[] = [];
  for (;;) {
    const toAcceptor = dialed.send;
    if (toAcceptor === null) break;
    sent.push(toAcceptor);
    accepted = feed(a, toAcceptor, chunkBytes);
    if (accepted.send === null) break;
    dialed = feed(d, accepted.send, chunkBytes);
  }
  return { dialed, accepted, sent };
}

function feed(
  to: DialerHandshake | AcceptorHandshake,
  bytes: Uint8Array,
  chunkBytes: number,
): HandshakeStep {
  let step: HandshakeStep = { state: "waiting", send: null };
  for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
    step = to.receive(bytes.subarray(offset, offset + chunkBytes));
    if (step.state !== "waiting") break;
  }
  return step;
}

function assertRefused(step: HandshakeStep, reason: Refusal["reason"]): void {
  assert.is(step.state, "refused");
  if (step.state === "refused") assert.is(step.refusal.reason, reason, step.refusal.detail);
}

/** A hello of node 1 and its identity as JSON under a MAC that is right. */
function sealedBy(key: Uint8Array, a: AcceptorHandshake, json: string): HandshakeStep {
  const { hello } = dialer();
  const greeted = a.receive(hello);
  assert.ok(greeted.send);
  const body = new TextEncoder().encode(json);
  const signed = Uint8Array.of(body.length >> 8, body.length & 0xff, ...body);
  const mac = createHmac("sha256", key).update("kv dialer\n").update(hello).update(greeted.send);
  return a.receive(Uint8Array.of(...signed, ...mac.update(signed).digest()));
}

const jsonOf = (changes: object = {}, to: unknown = 2): string =>
  JSON.stringify({ to, identity: { ...identityOf(1), ...changes } });

test("two members meet, and each learns who the other is", () => {
  for (const chunkBytes of [Infinity, 1, 7]) {
    const { dialed, accepted } = meet(dialer(), acceptor(), chunkBytes);
    assert.equal(dialed, { state: "accepted", send: null, peer: identityOf(2) });
    assert.is(accepted.state, "accepted");
    if (accepted.state === "accepted") assert.equal(accepted.peer, identityOf(1));
  }
});

test("the most members with the longest addresses fit into it", () => {
  const host = "h".repeat(253);
  const members = Array.from({ length: 16 }, (_, i) => ({
    id: nodeId(2 ** 32 - 16 + i),
    raft: `${host}:65535`,
    http: `${host}:65534`,
    incarnation: "f".repeat(32),
  }));
  const identity = { ...identityOf(2), members };
  const judge = (): Refusal => ({ reason: "wiped", detail: "x".repeat(2_000) });
  assertRefused(meet(dialer(), acceptor({ identity: () => identity, judge })).dialed, "wiped");
});

test("without a secret on both sides they meet too", () => {
  const { dialed, accepted } = meet(dialer({ secret: null }), acceptor({ secret: null }));
  assert.is(dialed.state, "accepted");
  assert.is(accepted.state, "accepted");
});

test("another secret: both sides say so, and neither shows who it is", () => {
  for (const other of [null, new TextEncoder().encode("another")]) {
    const { dialed, accepted } = meet(dialer({ secret: other }), acceptor());
    assertRefused(dialed, "wrongSecret");
    assertRefused(accepted, "wrongSecret");
    if (dialed.state === "refused") assert.is(dialed.identity, null);
    assert.is(accepted.send?.byteLength, 34);
  }
});

test("a forged MAC is refused, and its JSON is not even parsed", () => {
  let judged = 0;
  const judge = (): null => {
    judged++;
    return null;
  };
  for (const json of [jsonOf(), "{ this is no JSON", ""]) {
    assertRefused(sealedBy(new Uint8Array(5), acceptor({ judge }), json), "wrongSecret");
  }
  assert.is(judged, 0);
});

test("any flipped bit of the dialer's identity is refused", () => {
  const [, identity] = meet(dialer(), acceptor()).sent;
  const length = must(identity, "an identity was sent").length;
  for (let at = 0; at < length; at += 5) {
    const d = dialer();
    const a = acceptor();
    const greeted = d.receive(must(a.receive(d.hello).send, "a hello"));
    const bytes = must(greeted.send, "an identity").slice();
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const step = a.receive(bytes);
    assert.ok(step.state !== "accepted", `byte ${at}`);
  }
});

test("any flipped bit of the acceptor's answer is refused", () => {
  for (let at = 2; at < 200; at += 5) {
    const d = dialer();
    const a = acceptor();
    const greeted = d.receive(must(a.receive(d.hello).send, "a hello"));
    const answer = must(a.receive(must(greeted.send, "an identity")).send, "an answer").slice();
    answer[at] = (answer[at] ?? 0) ^ 1;
    assertRefused(d.receive(answer), "wrongSecret");
  }
});

test("a recorded handshake, played again, is refused", () => {
  const { sent, accepted } = meet(dialer(), acceptor());
  assert.is(accepted.state, "accepted");
  const again = acceptor();
  const [hello, identity] = sent;
  assert.is(again.receive(must(hello, "a hello")).state, "waiting");
  assertRefused(again.receive(must(identity, "an identity")), "wrongSecret");
});

test("a recorded answer, played to a dialer again, is refused", () => {
  const a = acceptor();
  const first = dialer();
  const hello = must(a.receive(first.hello).send, "a hello");
  const answer = must(a.receive(must(first.receive(hello).send, "an identity")).send, "an answer");
  const second = dialer();
  second.receive(hello);
  assertRefused(second.receive(answer), "wrongSecret");
});

test("a dialer that hears its own bytes is not taken in", () => {
  const d = dialer();
  assertRefused(d.receive(d.hello), "self");
  const reflected = dialer();
  const step = reflected.receive(must(acceptor().receive(dialer().hello).send, "a hello"));
  assertRefused(reflected.receive(must(step.send, "an identity")), "wrongSecret");
});

test("another cluster is refused, and the dialer learns whose, but no directory's name", () => {
  const stranger = { ...identityOf(1), clusterId: "d".repeat(32) };
  const { dialed, accepted } = meet(dialer({ identity: () => stranger }), acceptor());
  assertRefused(accepted, "wrongCluster");
  assertRefused(dialed, "wrongCluster");
  const expected = { ...identityOf(2), incarnation: "0".repeat(32), members: [] };
  if (dialed.state === "refused") assert.equal(dialed.identity, expected);
});

test("the dialer judges too, even where the acceptor has none of its doubts", () => {
  const judge = (): Refusal => ({ reason: "wiped", detail: "not the one I know" });
  const { dialed, accepted } = meet(dialer({ judge }), acceptor());
  assert.is(accepted.state, "accepted");
  assertRefused(dialed, "wiped");
});

test("a node reached at the address of another is refused by both", () => {
  const { dialed, accepted } = meet(dialer({ to: nodeId(3) }), acceptor());
  assertRefused(accepted, "differentMembers");
  assertRefused(dialed, "differentMembers");
});

test("an acceptor that is not who was dialed is refused though it says yes", () => {
  const { dialed, accepted } = meet(dialer(), acceptor({ identity: () => identityOf(3) }));
  assert.is(accepted.state, "accepted");
  assertRefused(dialed, "differentMembers");
});

test("two nodes with one id refuse each other", () => {
  const { dialed, accepted } = meet(dialer({ to: nodeId(1) }), acceptor(side(1)));
  assertRefused(accepted, "self");
  assertRefused(dialed, "self");
});

test("another protocol version is named, and told to the other end", () => {
  const hello = dialer().hello.slice();
  hello[5] = 9;
  const step = acceptor().receive(hello);
  assertRefused(step, "wrongVersion");
  if (step.state === "refused") assert.match(step.refusal.detail, /version 9 .* this node 1/);
  const answer = must(step.send, "the acceptor's hello").slice();
  answer[5] = 8;
  assertRefused(dialer().receive(answer), "wrongVersion");
});

test("whoever does not speak the protocol is refused at the first wrong byte, without an answer", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "k", "kvP", "kvPS", "\0"]) {
    const step = acceptor().receive(new TextEncoder().encode(text));
    if ("kvPR".startsWith(text)) assert.is(step.state, "waiting");
    else assertRefused(step, "malformed");
    assert.is(step.send, null);
  }
});

test("more bytes than the step at hand can have are refused", () => {
  const { hello } = dialer();
  assertRefused(acceptor().receive(Uint8Array.of(...hello, 0)), "malformed");
  assertRefused(acceptor().receive(new Uint8Array(16_384)), "malformed");
  const a = acceptor();
  a.receive(hello);
  assertRefused(a.receive(Uint8Array.of(0xff, 0xff)), "malformed");
  const b = acceptor();
  b.receive(hello);
  assertRefused(b.receive(new Uint8Array(35)), "malformed");
});

test("JSON that is no identity is refused although its MAC is right", () => {
  const [first] = identityOf(1).members;
  const wrong = [
    "",
    "null",
    "[]",
    "{",
    "\u{feff}{}",
    jsonOf({}, "2"),
    jsonOf({}, 0),
    jsonOf({ nodeId: 0 }),
    jsonOf({ nodeId: 2 ** 32 }),
    jsonOf({ nodeId: 1.5 }),
    jsonOf({ incarnation: "1".repeat(31) }),
    jsonOf({ incarnation: "A".repeat(32) }),
    jsonOf({ clusterId: "" }),
    jsonOf({ clusterId: undefined }),
    jsonOf({ more: 1 }),
    jsonOf({ members: {} }),
    jsonOf({ members: [first, first] }),
    jsonOf({ revision: -1 }),
    jsonOf({ members: [{ ...first, raft: "" }] }),
    jsonOf({ members: [{ ...first, role: "voter" }] }),
    jsonOf({ members: Array.from({ length: 17 }, (_, i) => ({ ...first, id: i + 1 })) }),
  ];
  for (const json of wrong) assertRefused(sealedBy(secret, acceptor(), json), "malformed");
  assert.is(sealedBy(secret, acceptor(), jsonOf()).state, "accepted");
});

test("whatever a stranger sends, a verdict or patience is the answer", () => {
  for (let round = 0; round < 2_000; round++) {
    const bytes = Uint8Array.from({ length: 1 + random.below(300) }, () => random.below(256));
    const a = acceptor();
    if (round % 2 === 0) a.receive(dialer().hello);
    assert.ok(a.receive(bytes).state !== "accepted");
  }
});

test.run();
