/**
 * The peer port's bytes: what a stranger sends, what a peer sends after its handshake, and what the
 * codec makes of it.
 */

import * as assert from "uvu/assert";
import {
  FrameAssembler,
  frameHeader,
  frameHeaderBytes,
  payloadBytesMax,
} from "../../server/frame.ts";
import {
  DialerHandshake,
  nonceBytes,
  type HandshakeOptions,
  type HandshakeStep,
} from "../../server/handshake.ts";
import { Inbound } from "../../server/inbound.ts";
import { decodePeerMessage, PeerEncoder } from "../../server/peer-codec.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import type { Clock } from "../../server/ports.ts";
import { nodeId } from "../../server/raft/entry.ts";
import type { StreamSocket } from "../../server/socket/socket.ts";
import { defaultTransportLimits } from "../../server/transport-limits.ts";
import { identityOf } from "../server/peer-identities.ts";
import { everyPeerMessage } from "../server/peer-messages.ts";
import { allocations, largestAllocation } from "./allocation.ts";
import { chunksOf, mutate } from "./mutation.ts";
import type { Tape } from "./tape.ts";

const encoder = new PeerEncoder();

export function encoded(message: PeerMessage): Uint8Array {
  const { head, tail } = encoder.encode(message);
  encoder.forgetEntries();
  return new Uint8Array(Buffer.concat(tail === null ? [head] : [head, tail]));
}

const payloads = everyPeerMessage.map(encoded);
const smallPayloads = payloads.filter(({ byteLength }) => byteLength < 1_000);

/** Mostly a small one: most of what can go wrong does so in heads and lengths. */
const anyPayload = (tape: Tape): Uint8Array => tape.pick(tape.once(16) ? payloads : smallPayloads);

function frameOf(payload: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([frameHeader(payload, null), payload]));
}

/** A valid message that something happened to, or bytes that never were one. */
function drawPayload(tape: Tape): Uint8Array {
  if (tape.once(8)) return tape.bytes(tape.below(200));
  const payload = mutate(anyPayload(tape), tape, anyPayload(tape));
  if (!tape.once(6)) return payload;
  return nested(payload, tape);
}

/** Arrays in arrays, as deep as the bytes go; some claim as many values as bytes are left. */
function nested(payload: Uint8Array, tape: Tape): Uint8Array {
  const depth = tape.pick([7, 8, 9, 100, 5_000]);
  if (tape.once(2)) {
    const heads = new Uint8Array(depth).fill(tape.pick([0x91, 0x92, 0x9f]));
    return new Uint8Array(Buffer.concat([heads, payload]));
  }
  const bytes = Buffer.alloc(3 * depth + payload.byteLength);
  for (let at = 0; at < 3 * depth; at += 3) {
    bytes[at] = 0xdc;
    bytes.writeUInt16BE(Math.min(0xffff, bytes.byteLength - at - 3), at + 1);
  }
  bytes.set(payload, 3 * depth);
  return new Uint8Array(bytes);
}

// ------------------------------------------------------------------ the codec

/** Decoding gives a checked message or a refusal, within memory that the bytes bound. */
export function checkCodec(tape: Tape): void {
  const payload = drawPayload(tape);
  const size = payload.byteLength;
  let decoded = decodePeerMessage(payload.slice());
  const { sum } = allocations(() => {
    decoded = decodePeerMessage(payload.slice());
  });
  assert.ok(sum <= Math.max(64 << 10, 16 * size), `${size} bytes made ${sum} of room`);
  if (!decoded.ok) {
    assert.ok(decoded.detail.length > 0 && decoded.detail.length < 500, "a refusal has a sentence");
    return;
  }
  checkNumbers(decoded.message);
  const again = decodePeerMessage(encoded(decoded.message));
  assert.equal(again, decoded, "what was decoded encodes to the same");
}

/** No number that a message brings could be rounded, negative or a fraction. */
function checkNumbers(value: unknown): void {
  if (typeof value === "number") {
    assert.ok(Number.isSafeInteger(value) && value >= 0, `${value} was let through`);
  } else if (Array.isArray(value)) value.forEach(checkNumbers);
  else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    Object.values(value).forEach(checkNumbers);
  }
}

// ------------------------------------------------------------------ frames

/** Frames come out whole, the same however the stream was cut, or the stream is refused. */
export function checkFrames(tape: Tape): void {
  const frames: Uint8Array[] = [];
  const sent = Array.from({ length: 1 + tape.below(4) }, () => anyPayload(tape));
  for (const payload of sent) frames.push(frameOf(payload));
  let stream: Uint8Array = new Uint8Array(Buffer.concat(frames));
  const isTouched = !tape.once(4);
  if (isTouched) stream = mutate(stream, tape);
  const whole = assemble([stream]);
  if (!isTouched) assert.equal(whole, { payloads: sent, violation: null });
  const cut = assemble(chunksOf(stream, tape));
  assert.equal(cut, whole, "the cuts of a stream change nothing");
  let bytes = 0;
  for (const payload of whole.payloads) bytes += frameHeaderBytes + payload.byteLength;
  assert.ok(bytes <= stream.byteLength, "no more comes out than went in");
  const largest = largestAllocation(() => void assemble([stream]));
  assert.ok(largest <= Math.max(payloadBytesMax, stream.byteLength), `a buffer of ${largest}`);
}

function assemble(chunks: readonly Uint8Array[]): {
  payloads: Uint8Array[];
  violation: string | null;
} {
  const assembler = new FrameAssembler();
  const taken: Uint8Array[] = [];
  let violation: string | null = null;
  for (const chunk of chunks) violation = assembler.push(chunk, (one) => taken.push(one) > 0);
  return { payloads: taken, violation };
}

// ------------------------------------------------------------------ a connection

/** A socket that takes everything and keeps it. */
class FakeSocket implements StreamSocket {
  readonly remote = "127.0.0.1:1";
  readonly waitingBytes = 0;
  readonly written: Uint8Array[] = [];
  isDestroyed = false;

  write(bytes: Uint8Array): void {
    this.written.push(bytes);
  }

  end(): void {}

  destroy(): void {
    this.isDestroyed = true;
  }

  pause(): void {}

  resume(): void {}
}

const noClock: Clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  after: () => ({ cancel: () => {} }),
  every: () => ({ cancel: () => {} }),
  soon: () => {},
};

const secret = new TextEncoder().encode("a secret between three nodes");

function side(id: number, nonce: Uint8Array): HandshakeOptions {
  const identity = identityOf(id);
  return { self: nodeId(id), secret, nonce, identity: () => identity, judge: () => null };
}

class Acceptor {
  readonly socket = new FakeSocket();
  readonly messages: PeerMessage[] = [];
  warnings = 0;
  isAuthenticated = false;
  closedCount = 0;
  readonly #inbound: Inbound;

  constructor() {
    this.#inbound = new Inbound(this.socket, {
      handshake: side(2, new Uint8Array(nonceBytes).fill(2)),
      limits: defaultTransportLimits,
      clock: noClock,
      events: {
        authenticated: () => {
          this.isAuthenticated = true;
        },
        refused: () => undefined,
        message: (_, message) => void this.messages.push(message),
        closed: () => void this.closedCount++,
        warn: () => void this.warnings++,
      },
    });
  }

  /** What it answers. */
  receive(chunks: readonly Uint8Array[]): Uint8Array {
    const before = this.socket.written.length;
    for (const chunk of chunks) this.#inbound.data(chunk);
    return new Uint8Array(Buffer.concat(this.socket.written.slice(before)));
  }
}

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const isPrefix = (start: Uint8Array, of: Uint8Array): boolean =>
  isEqual(start, of.subarray(0, start.byteLength));

/** Who has not proved to know the secret gets nothing through, whatever it sends, and however cut. */
export function checkStranger(tape: Tape): void {
  const acceptor = new Acceptor();
  const nonce = new Uint8Array(nonceBytes).fill(1 + tape.below(3));
  const dialer = new DialerHandshake({ ...side(1, nonce), to: nodeId(2) });
  const isHelloTouched = tape.once(2);
  const hello = isHelloTouched ? mutate(dialer.hello, tape) : dialer.hello;
  const greeting = acceptor.receive(chunksOf(hello, tape));
  const step = greeting.byteLength > 0 ? dialer.receive(greeting) : null;
  const identity = step?.send ?? hello;
  const touched = isHelloTouched ? identity : mutate(identity, tape, hello);
  acceptor.receive(chunksOf(touched, tape));
  acceptor.receive(chunksOf(frameOf(anyPayload(tape)), tape));
  // A mutation may have changed nothing; and what follows a whole identity is no part of it.
  const isGenuine = isEqual(hello, dialer.hello) && isPrefix(identity, touched);
  if (isGenuine) return;
  assert.not.ok(acceptor.isAuthenticated, "a changed handshake is not accepted");
  assert.is(acceptor.messages.length, 0, "no message of a stranger arrives");
  assert.ok(acceptor.closedCount <= 1 && acceptor.warnings <= 1, "it is told once");
}

/** The dialer does not believe an answer that was touched. */
export function checkDialer(tape: Tape): void {
  const acceptor = new Acceptor();
  const nonce = new Uint8Array(nonceBytes).fill(1);
  const dialer = new DialerHandshake({ ...side(1, nonce), to: nodeId(2) });
  const greeting = acceptor.receive([dialer.hello]);
  const isGreetingTouched = tape.once(2);
  const heard = isGreetingTouched ? mutate(greeting, tape, dialer.hello) : greeting;
  const greeted = feed(dialer, chunksOf(heard, tape));
  if (greeted.send === null) return;
  const answer = acceptor.receive([greeted.send]);
  const said = isGreetingTouched ? answer : mutate(answer, tape, greeting);
  const isGenuine = isEqual(heard, greeting) && isPrefix(answer, said);
  const { state } = greeted.state === "waiting" ? feed(dialer, chunksOf(said, tape)) : greeted;
  assert.ok(isGenuine || state !== "accepted", "a changed answer is not accepted");
}

/** Feeds what comes until the dialer has made up its mind; keeps what it wants to send. */
function feed(
  dialer: DialerHandshake,
  chunks: readonly Uint8Array[],
): { state: HandshakeStep["state"]; send: Uint8Array | null } {
  let state: HandshakeStep["state"] = "waiting";
  let send: Uint8Array | null = null;
  for (const chunk of chunks) {
    if (state !== "waiting") break;
    const step = dialer.receive(chunk);
    state = step.state;
    send = step.send ?? send;
  }
  return { state, send };
}

/** After a genuine handshake: messages arrive as they were sent, and at the first wrong one it ends. */
export function checkSession(tape: Tape): void {
  const acceptor = new Acceptor();
  const dialer = new DialerHandshake({
    ...side(1, new Uint8Array(nonceBytes).fill(1)),
    to: nodeId(2),
  });
  const step = dialer.receive(acceptor.receive([dialer.hello]));
  assert.ok(step.send);
  acceptor.receive([step.send]);
  assert.ok(acceptor.isAuthenticated, "a genuine handshake is accepted");
  let expected = 0;
  while (!tape.isAtEnd && !acceptor.socket.isDestroyed) {
    const frames: Uint8Array[] = [];
    let isOver = false;
    for (let count = 1 + tape.below(3); count > 0; count--) {
      const payload = tape.once(2) ? anyPayload(tape) : drawPayload(tape);
      frames.push(frameOf(payload));
      if (payload.byteLength === 0) continue;
      if (!decodePeerMessage(payload.slice()).ok) isOver = true;
      if (!isOver) expected++;
    }
    const stream = new Uint8Array(Buffer.concat(frames));
    const isTorn = tape.once(8);
    acceptor.receive(chunksOf(isTorn ? mutate(stream, tape) : stream, tape));
    // From a torn frame on nothing can be foretold but that it does not throw.
    if (isTorn) return;
    assert.is(acceptor.messages.length, expected);
    assert.is(acceptor.socket.isDestroyed, isOver, "the first wrong message is the last");
  }
  assert.ok(acceptor.closedCount <= 1);
}
