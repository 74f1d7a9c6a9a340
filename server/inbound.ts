/** A connection that somebody opened to our peer port: a handshake, then messages to us. */

import { emptyFrame, FrameAssembler } from "./frame.ts";
import { AcceptorHandshake, type HandshakeOptions, type PeerIdentity } from "./handshake.ts";
import { decodePeerMessage } from "./peer-codec.ts";
import type { PeerMessage } from "./peer-message.ts";
import type { Clock, Timer } from "./ports.ts";
import type { SocketEvents, StreamSocket } from "./socket/socket.ts";
import type { TransportLimits } from "./transport-limits.ts";

export interface InboundOptions {
  readonly handshake: HandshakeOptions;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  readonly events: InboundEvents;
}

export interface InboundEvents {
  /** The peer was admitted; its messages follow. */
  authenticated(inbound: Inbound, peer: PeerIdentity): void;
  message(from: PeerIdentity, message: PeerMessage): void;
  /** Exactly once. */
  closed(inbound: Inbound): void;
  /** Of one that proved who it is. Comes again with every attempt, from another `origin`. */
  refused(origin: string, why: string): void;
  warn(text: string): void;
}

/** Bytes of answers to pings that may wait for a peer that does not read them. */
const pongBytesMax = 4_096;

export class Inbound implements SocketEvents {
  readonly #socket: StreamSocket;
  readonly #options: InboundOptions;
  readonly #handshake: AcceptorHandshake;
  readonly #frames = new FrameAssembler();
  readonly #deadline: Timer;
  readonly #origin: string;
  #peer: PeerIdentity | null = null;
  /** The handshake has failed and the answer is on its way: nothing more is read. */
  #isRefused = false;
  #isClosed = false;
  #idlePings = 0;

  constructor(socket: StreamSocket, options: InboundOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#handshake = new AcceptorHandshake(options.handshake);
    this.#origin = socket.remote;
    this.#deadline = options.clock.after(options.limits.handshakeMs, () => this.close());
  }

  /** Null until the handshake is done. */
  get peer(): PeerIdentity | null {
    return this.#peer;
  }

  /** Once every `pingMs`. A dialer that lives sends something in that time. */
  tick(): void {
    if (++this.#idlePings > this.#options.limits.idlePingsMax) this.close();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#deadline.cancel();
    this.#socket.destroy();
    this.#options.events.closed(this);
  }

  // ------------------------------------------------------------------ what the socket says

  drained(): void {}

  ended(): void {
    this.close();
  }

  closed(): void {
    this.close();
  }

  data(chunk: Uint8Array): void {
    if (this.#isClosed || this.#isRefused) return;
    this.#idlePings = 0;
    if (this.#peer === null) this.#greet(chunk);
    else this.#readFrames(this.#peer, chunk);
  }

  #greet(chunk: Uint8Array): void {
    const step = this.#handshake.receive(chunk);
    if (step.state === "refused") {
      const { reason, detail } = step.refusal;
      const text = `${reason}: ${detail}`;
      if (step.identity) this.#options.events.refused(this.#origin, text);
      else this.#options.events.warn(`refused a peer at ${this.#origin}: ${text}`);
      // The deadline stands: nobody keeps the socket by not reading the answer.
      this.#isRefused = true;
      if (step.send) {
        this.#socket.write(step.send);
        this.#socket.end();
      } else {
        this.close();
      }
      return;
    }
    if (step.send) this.#socket.write(step.send);
    if (step.state === "waiting") return;
    this.#deadline.cancel();
    this.#peer = step.peer;
    this.#options.events.authenticated(this, step.peer);
  }

  #readFrames(from: PeerIdentity, chunk: Uint8Array): void {
    const violation = this.#frames.push(chunk, (payload) => this.#take(from, payload));
    if (violation !== null) this.#giveUp(from, violation);
  }

  /** Answers whether more is wanted: an event may have closed this connection. */
  #take(from: PeerIdentity, payload: Uint8Array): boolean {
    if (payload.byteLength === 0) {
      if (this.#socket.waitingBytes < pongBytesMax) this.#socket.write(emptyFrame);
      return true;
    }
    const decoded = decodePeerMessage(payload);
    if (decoded.ok) this.#options.events.message(from, decoded.message);
    else this.#giveUp(from, `a message that is none: ${decoded.detail}`);
    return !this.#isClosed;
  }

  #giveUp(from: PeerIdentity, what: string): void {
    this.#options.events.warn(
      `closed the connection of node ${from.nodeId} at ${this.#origin}: ${what}`,
    );
    this.close();
  }
}
