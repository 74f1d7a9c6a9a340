/**
 * How two nodes meet: bytes in, bytes and a verdict out, no I/O. The dialer D and the acceptor A send
 *
 *     D  hello     magic, u16 protocol version, 16 bytes nonce
 *     A  hello     the same, with A's own nonce
 *     D  identity  u16 length, JSON {to, identity}, 32 bytes MAC
 *     A  answer    u16 length, JSON {accepted: true, identity}
 *                  or {accepted: false, identity, reason, detail}, 32 bytes MAC
 *
 * A MAC is HMAC-SHA256 under the shared secret over a label that names the side and everything sent so
 * far, so neither a recorded nor a reflected handshake fits. No JSON is parsed before its MAC is
 * verified. Without a secret the key is empty and the MAC proves nothing: loopback only.
 *
 * The MAC is of the handshake alone. Who can change packets on the way between two nodes can change the
 * frames that follow; their checksum is against accidents.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { fieldsOf, identityFields, isNodeId, readIdentity, type PeerIdentity } from "./identity.ts";
import { assert } from "./raft/assert.ts";
import type { NodeId } from "./raft/entry.ts";

export type { PeerIdentity } from "./identity.ts";

export const protocolVersion = 1;
export const nonceBytes = 16;

const magic = new TextEncoder().encode("kvPR");
const prefixBytes = magic.byteLength + 2;
const helloBytes = prefixBytes + nonceBytes;
const macBytes = 32;
/** Room for the most members with the longest addresses. */
const jsonBytesMax = 12 << 10;
const sealedBytesMax = 2 + jsonBytesMax + macBytes;
/** Characters of a refusal's detail that travel. */
const detailLengthMax = 1_024;

/**
 * - `wrongSecret`, `wrongVersion`, `malformed`: the two programs cannot talk; `malformed` also goes for
 *   a node that is not ready to judge anybody.
 * - `self`: both ends are the same node.
 * - `differentMembers`: the lists disagree, or another node stands at that address.
 * - `wrongCluster`, `unknownMember`, `wiped`, `retired`: what the judge says of identities.
 */
const refusalReasons = [
  "wrongSecret",
  "wrongVersion",
  "wrongCluster",
  "differentMembers",
  "unknownMember",
  "wiped",
  "retired",
  "self",
  "malformed",
] as const;

export interface Refusal {
  readonly reason: (typeof refusalReasons)[number];
  /** A sentence for a person. */
  readonly detail: string;
}

export interface HandshakeOptions {
  readonly self: NodeId;
  readonly secret: Uint8Array | null;
  /** `nonceBytes` unpredictable bytes, for this handshake only. */
  readonly nonce: Uint8Array;
  /** Who this node is at the moment it is asked. */
  readonly identity: () => PeerIdentity;
  /** Asked once, about a peer that has proved to know the secret. Null: welcome. */
  readonly judge: (peer: PeerIdentity) => Refusal | null;
}

export interface DialerOptions extends HandshakeOptions {
  /** Who is expected at the address. */
  readonly to: NodeId;
}

/** After `accepted` and `refused` nothing more may be fed in. `send` goes out in any case. */
export type HandshakeStep =
  | { readonly state: "waiting"; readonly send: Uint8Array | null }
  | { readonly state: "accepted"; readonly send: Uint8Array | null; readonly peer: PeerIdentity }
  | {
      readonly state: "refused";
      readonly send: Uint8Array | null;
      readonly refusal: Refusal;
      /** The peer's, where it is proved to be true. */
      readonly identity: PeerIdentity | null;
      /** The peer has refused us, and not we the peer. Default false. */
      readonly isTheirs?: boolean;
    };

// ------------------------------------------------------------------ the dialer

export class DialerHandshake {
  readonly #options: DialerOptions;
  readonly #transcript: Transcript;
  readonly #incoming = new Incoming();
  readonly hello: Uint8Array;
  #isGreeted = false;

  /** `hello` is to be sent first. */
  constructor(options: DialerOptions) {
    this.#options = options;
    this.#transcript = new Transcript(options.secret);
    this.hello = encodeHello(options.nonce);
  }

  receive(chunk: Uint8Array): HandshakeStep {
    if (!this.#incoming.add(chunk)) return refused("malformed", "more bytes than an answer has");
    return this.#isGreeted ? this.#readAnswer() : this.#readHello();
  }

  #readHello(): HandshakeStep {
    const problem = this.#incoming.prefixProblem();
    if (problem) return { state: "refused", send: null, refusal: problem, identity: null };
    const hello = this.#incoming.takeHello();
    if (hello === null) return waiting;
    if (equal(hello, this.hello)) return refused("self", "the connection leads back to this node");
    if (!this.#incoming.isEmpty) return refused("malformed", "more bytes than a hello has");
    this.#isGreeted = true;
    this.#transcript.add(this.hello);
    this.#transcript.add(hello);
    const { to, identity } = this.#options;
    const body = { to, identity: identityFields(identity()) };
    return { state: "waiting", send: this.#transcript.seal("kv dialer\n", body) };
  }

  #readAnswer(): HandshakeStep {
    const sealed = this.#incoming.takeSealed();
    if (sealed === "waiting") return waiting;
    if (sealed === "malformed") return refused("malformed", "an answer of impossible length");
    const value = this.#transcript.open("kv acceptor\n", sealed);
    if (value === wrongMac) {
      const { to } = this.#options;
      return refused("wrongSecret", `the shared secret here differs from the one at node ${to}`);
    }
    return this.#judgeAnswer(value);
  }

  #judgeAnswer(value: unknown): HandshakeStep {
    const said = readAnswer(value);
    if (said === null) return refused("malformed", "an answer that makes no sense");
    const { identity } = said;
    if (said.refusal) {
      return { state: "refused", send: null, refusal: said.refusal, identity, isTheirs: true };
    }
    const refusal = this.#judgeIdentity(identity);
    if (refusal) return { state: "refused", send: null, refusal, identity };
    return { state: "accepted", send: null, peer: identity };
  }

  #judgeIdentity(peer: PeerIdentity): Refusal | null {
    const { self, to, judge } = this.#options;
    if (peer.nodeId === self) return ownId(self);
    if (peer.nodeId !== to) return elsewhere(to, peer.nodeId);
    return judge(peer);
  }
}

function readAnswer(value: unknown): { identity: PeerIdentity; refusal: Refusal | null } | null {
  const yes = fieldsOf(value, 2);
  const fields = yes ?? fieldsOf(value, 4);
  if (fields === null || fields["accepted"] !== (yes !== null)) return null;
  const identity = readIdentity(fields["identity"]);
  if (identity === null) return null;
  if (yes !== null) return { identity, refusal: null };
  const { detail } = fields;
  const reason = refusalReasons.find((known) => known === fields["reason"]);
  if (reason === undefined || typeof detail !== "string") return null;
  return { identity, refusal: { reason, detail } };
}

// ------------------------------------------------------------------ the acceptor

export class AcceptorHandshake {
  readonly #options: HandshakeOptions;
  readonly #transcript: Transcript;
  readonly #incoming = new Incoming();
  #isGreeted = false;

  constructor(options: HandshakeOptions) {
    this.#options = options;
    this.#transcript = new Transcript(options.secret);
  }

  receive(chunk: Uint8Array): HandshakeStep {
    if (!this.#incoming.add(chunk)) return refused("malformed", "more bytes than an identity has");
    return this.#isGreeted ? this.#readIdentity() : this.#readHello();
  }

  #readHello(): HandshakeStep {
    const ownHello = encodeHello(this.#options.nonce);
    const problem = this.#incoming.prefixProblem();
    if (problem) {
      // A kv of another version learns from the hello which one this is; anybody else learns nothing.
      const send = problem.reason === "wrongVersion" ? ownHello : null;
      return { state: "refused", send, refusal: problem, identity: null };
    }
    const hello = this.#incoming.takeHello();
    if (hello === null) return waiting;
    // Nobody can seal an identity before our nonce is known.
    if (!this.#incoming.isEmpty) return refused("malformed", "more bytes than a hello has");
    this.#isGreeted = true;
    this.#transcript.add(hello);
    this.#transcript.add(ownHello);
    return { state: "waiting", send: ownHello };
  }

  #readIdentity(): HandshakeStep {
    const sealed = this.#incoming.takeSealed();
    if (sealed === "waiting") return waiting;
    if (sealed === "malformed") return refused("malformed", "an identity of impossible length");
    const value = this.#transcript.open("kv dialer\n", sealed);
    if (value === wrongMac) {
      // A real MAC would help a stranger to try out secrets at home; the dialer cannot verify zeros.
      const send = concat([encodeLength(0), new Uint8Array(macBytes)]);
      const detail = "somebody with another shared secret";
      return { state: "refused", send, refusal: { reason: "wrongSecret", detail }, identity: null };
    }
    const fields = fieldsOf(value, 2);
    const peer = readIdentity(fields?.["identity"]);
    const to = fields?.["to"];
    if (peer === null || !isNodeId(to)) return refused("malformed", "an identity that is none");
    return this.#answer(peer, this.#judge(peer, to));
  }

  #judge(peer: PeerIdentity, to: number): Refusal | null {
    const { self, judge } = this.#options;
    if (peer.nodeId === self) return ownId(self);
    if (to !== self) return elsewhere(to, self);
    return judge(peer);
  }

  #answer(peer: PeerIdentity, refusal: Refusal | null): HandshakeStep {
    const identity = identityFields(this.#options.identity());
    if (refusal === null) {
      const send = this.#transcript.seal("kv acceptor\n", { accepted: true, identity });
      return { state: "accepted", send, peer };
    }
    const detail = refusal.detail.slice(0, detailLengthMax);
    // Who is refused learns whom it has met, and no directory's name: that is what lets a member in.
    const stranger = { ...identity, incarnation: "0".repeat(32), members: [] };
    const body = { accepted: false, identity: stranger, reason: refusal.reason, detail };
    const send = this.#transcript.seal("kv acceptor\n", body);
    return { state: "refused", send, refusal, identity: peer };
  }
}

// ------------------------------------------------------------------ what both sides need

const waiting: HandshakeStep = { state: "waiting", send: null };
const wrongMac = Symbol("the MAC does not fit");

const refused = (reason: Refusal["reason"], detail: string): HandshakeStep => ({
  state: "refused",
  send: null,
  refusal: { reason, detail },
  identity: null,
});

const ownId = (self: NodeId): Refusal => ({
  reason: "self",
  detail: `both ends call themselves node ${self}`,
});

const elsewhere = (expected: number, actual: number): Refusal => ({
  reason: "differentMembers",
  detail: `node ${expected} was expected at the address of node ${actual}`,
});

const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && timingSafeEqual(a, b);

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}

const encodeLength = (length: number): Uint8Array => Uint8Array.of(length >> 8, length & 0xff);

function encodeHello(nonce: Uint8Array): Uint8Array {
  assert(nonce.byteLength === nonceBytes, "a nonce has its length");
  return concat([magic, encodeLength(protocolVersion), nonce]);
}

/** Everything that was sent so far, in order: what the MACs are about. */
class Transcript {
  readonly #key: Uint8Array;
  readonly #parts: Uint8Array[] = [];

  constructor(secret: Uint8Array | null) {
    this.#key = secret ?? new Uint8Array(0);
  }

  add(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  /** `body` as length, JSON and MAC; all of it becomes part of the transcript. */
  seal(label: string, body: unknown): Uint8Array {
    const json = new TextEncoder().encode(JSON.stringify(body));
    assert(json.byteLength <= jsonBytesMax, "an identity fits into the handshake");
    const signed = concat([encodeLength(json.byteLength), json]);
    this.add(signed);
    const mac = this.#mac(label);
    this.add(mac);
    return concat([signed, mac]);
  }

  /** The JSON value in `sealed` (undefined where it is none), once its MAC is found to be right. */
  open(label: string, sealed: Uint8Array): unknown {
    const signed = sealed.subarray(0, -macBytes);
    const mac = sealed.subarray(-macBytes);
    this.add(signed);
    if (!equal(mac, this.#mac(label))) return wrongMac;
    this.add(mac);
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(signed.subarray(2)));
    } catch {
      return undefined;
    }
  }

  #mac(label: string): Uint8Array {
    const hmac = createHmac("sha256", this.#key).update(label);
    for (const part of this.#parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  }
}

/** Bytes that have come and are not read yet: never more than the longest thing that may come next. */
class Incoming {
  readonly #bytes = new Uint8Array(sealedBytesMax);
  #filled = 0;

  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  /** False where more has come than anybody may send at this point. */
  add(chunk: Uint8Array): boolean {
    if (chunk.byteLength > sealedBytesMax - this.#filled) return false;
    this.#bytes.set(chunk, this.#filled);
    this.#filled += chunk.byteLength;
    return true;
  }

  /** Magic and version never move, whatever a later version puts behind them. */
  prefixProblem(): Refusal | null {
    const seen = Math.min(this.#filled, magic.byteLength);
    if (!equal(this.#bytes.subarray(0, seen), magic.subarray(0, seen))) {
      return { reason: "malformed", detail: "the other end does not speak kv's peer protocol" };
    }
    if (this.#filled < prefixBytes) return null;
    const version = this.#uint16(magic.byteLength);
    if (version === protocolVersion) return null;
    const detail = `the other end speaks version ${version} of the peer protocol, this node ${protocolVersion}`;
    return { reason: "wrongVersion", detail };
  }

  takeHello(): Uint8Array | null {
    return this.#filled < helloBytes ? null : this.#take(helloBytes);
  }

  /** A length, so much JSON, and a MAC; nothing may follow. */
  takeSealed(): Uint8Array | "waiting" | "malformed" {
    if (this.#filled < 2) return "waiting";
    const length = this.#uint16(0);
    const total = 2 + length + macBytes;
    if (length > jsonBytesMax || this.#filled > total) return "malformed";
    return this.#filled < total ? "waiting" : this.#take(total);
  }

  #take(count: number): Uint8Array {
    const taken = this.#bytes.slice(0, count);
    this.#bytes.copyWithin(0, count, this.#filled);
    this.#filled -= count;
    return taken;
  }

  #uint16(offset: number): number {
    return ((this.#bytes[offset] ?? 0) << 8) | (this.#bytes[offset + 1] ?? 0);
  }
}
