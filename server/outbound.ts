/**
 * The way to one peer: dials it, proves who we are, carries our messages, and dials again. Nothing but
 * answers to pings comes back here; what the peer has to say comes over the connection that it opens.
 */

import { emptyFrame, FrameAssembler } from "./frame.ts";
import {
  DialerHandshake,
  nonceBytes,
  type HandshakeOptions,
  type PeerIdentity,
} from "./handshake.ts";
import { Outbox, type FramePieces } from "./outbox.ts";
import type { Clock, Random, Timer } from "./ports.ts";
import type { NodeId } from "./raft/entry.ts";
import type { Refused } from "./refusals.ts";
import { sockets } from "./socket/runtime.ts";
import type { SocketAddress, StreamSocket } from "./socket/socket.ts";
import type { TransportLimits } from "./transport-limits.ts";

export interface OutboundOptions {
  readonly to: NodeId;
  readonly address: SocketAddress;
  readonly handshake: Omit<HandshakeOptions, "nonce">;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: OutboundEvents;
}

/** Any of them may call back into the connection. */
export interface OutboundEvents {
  connected(peer: PeerIdentity): void;
  disconnected(peer: NodeId): void;
  refused(peer: NodeId, refused: Refused): void;
}

type State =
  | { readonly kind: "closed" }
  | { readonly kind: "pausing"; readonly timer: Timer }
  | {
      readonly kind: "dialing";
      readonly socket: StreamSocket;
      readonly handshake: DialerHandshake;
      readonly deadline: Timer;
    }
  | {
      readonly kind: "connected";
      readonly socket: StreamSocket;
      readonly pongs: FrameAssembler;
      readonly peer: PeerIdentity;
      readonly sinceMs: number;
    };

const closed: State = { kind: "closed" };
const pingFrame: FramePieces = [emptyFrame, new Uint8Array(0), null];

export class Outbound {
  readonly address: SocketAddress;
  readonly #options: OutboundOptions;
  readonly #outbox: Outbox;
  #state: State = closed;
  /** Attempts since the last connection that stood. */
  #attempts = 0;
  #unansweredPings = 0;
  /** The socket holds bytes that the kernel has not taken: nothing more goes in until it drains. */
  #isBlocked = false;
  #dropped = 0;
  #isEnded = false;

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.address = options.address;
    const { outboxFramesMax, outboxBytesMax } = options.limits;
    this.#outbox = new Outbox({ framesMax: outboxFramesMax, bytesMax: outboxBytesMax });
  }

  get isConnected(): boolean {
    return this.#state.kind === "connected";
  }

  /** Whom the connection leads to; null where none stands. */
  get peer(): PeerIdentity | null {
    return this.#state.kind === "connected" ? this.#state.peer : null;
  }

  get outbox(): { readonly count: number; readonly bytes: number } {
    return this.#outbox;
  }

  /** Messages that found the outbox full, since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  send(frame: FramePieces): boolean {
    if (this.#state.kind !== "connected") return false;
    const isTaken = this.#outbox.add(frame);
    if (!isTaken) this.#dropped++;
    return isTaken;
  }

  flush(): void {
    if (this.#state.kind !== "connected") return;
    const { socket } = this.#state;
    while (!this.#isBlocked) {
      const bytes = this.#outbox.take(this.#options.limits.writeBytesMax);
      if (bytes === null) return;
      socket.write(bytes);
      this.#isBlocked = socket.waitingBytes > 0;
    }
  }

  /** Once every `pingMs`. Pings are counted and not timed: after a stall we listen before we judge. */
  tick(): void {
    if (this.#state.kind !== "connected") return;
    if (++this.#unansweredPings > this.#options.limits.unansweredPingsMax) {
      this.#lose(this.#state.socket);
    } else if (!this.#isBlocked && this.#outbox.count === 0) {
      this.#outbox.add(pingFrame);
      this.flush();
    }
  }

  /** Dials now unless a connection is there or in the making. */
  dial(): void {
    if (this.#isEnded) return;
    if (this.#state.kind === "dialing" || this.#state.kind === "connected") return;
    if (this.#state.kind === "pausing") this.#state.timer.cancel();
    const { address, clock, handshake, limits, random, to } = this.#options;
    this.#attempts++;
    const meeting = new DialerHandshake({ ...handshake, to, nonce: random.bytes(nonceBytes) });
    const socket: StreamSocket = sockets.dial(address, {
      connected: () => socket.write(meeting.hello),
      data: (chunk) => this.#receive(socket, chunk),
      drained: () => this.#drained(socket),
      ended: () => this.#lose(socket),
      closed: () => this.#lose(socket),
    });
    const deadline = clock.after(limits.handshakeMs, () => this.#lose(socket));
    this.#state = { kind: "dialing", socket, handshake: meeting, deadline };
  }

  /** The connection is dropped, whatever its state, and made anew at once. */
  redial(): void {
    this.#drop();
    this.#attempts = 0;
    this.dial();
  }

  /** For good. */
  close(): void {
    this.#isEnded = true;
    this.#drop();
  }

  #drop(): void {
    const before = this.#state;
    this.#state = closed;
    this.#outbox.clear();
    this.#isBlocked = false;
    if (before.kind === "pausing") before.timer.cancel();
    if (before.kind === "dialing") before.deadline.cancel();
    if (before.kind === "dialing" || before.kind === "connected") before.socket.destroy();
    if (before.kind === "connected") this.#options.events.disconnected(this.#options.to);
  }

  #isCurrent(socket: StreamSocket): boolean {
    const state = this.#state;
    return (state.kind === "dialing" || state.kind === "connected") && state.socket === socket;
  }

  /** The connection is no more. Events of a socket that was given up already change nothing. */
  #lose(socket: StreamSocket): void {
    if (!this.#isCurrent(socket)) return;
    const { clock, limits, random } = this.#options;
    const state = this.#state;
    if (state.kind === "connected" && clock.monotonicMs() - state.sinceMs >= limits.stableMs) {
      this.#attempts = 0;
    }
    this.#drop();
    // What `disconnected` led to may have dialed already, or ended it all.
    if (this.#isEnded || this.#state.kind !== "closed") return;
    const doubled = limits.redialMinMs * 2 ** Math.min(this.#attempts, 16);
    const pauseMs = Math.min(limits.redialMaxMs, doubled) * (0.5 + random.fraction() / 2);
    this.#state = { kind: "pausing", timer: clock.after(pauseMs, () => this.dial()) };
  }

  #drained(socket: StreamSocket): void {
    if (!this.#isCurrent(socket)) return;
    this.#isBlocked = false;
    this.#unansweredPings = 0;
    this.flush();
  }

  #receive(socket: StreamSocket, chunk: Uint8Array): void {
    if (!this.#isCurrent(socket)) return;
    if (this.#state.kind === "dialing") this.#greet(this.#state, chunk);
    else if (this.#state.kind === "connected") this.#readPongs(this.#state, chunk);
  }

  #greet(state: State & { kind: "dialing" }, chunk: Uint8Array): void {
    const { clock, events, to } = this.#options;
    const step = state.handshake.receive(chunk);
    if (step.send) state.socket.write(step.send);
    if (step.state === "waiting") return;
    if (step.state === "refused") {
      this.#lose(state.socket);
      const { refusal, identity, isTheirs = false } = step;
      events.refused(to, { refusal, identity, isTheirs });
      return;
    }
    state.deadline.cancel();
    this.#unansweredPings = 0;
    this.#state = {
      kind: "connected",
      socket: state.socket,
      pongs: new FrameAssembler(0),
      peer: step.peer,
      sinceMs: clock.monotonicMs(),
    };
    events.connected(step.peer);
  }

  #readPongs(state: State & { kind: "connected" }, chunk: Uint8Array): void {
    this.#unansweredPings = 0;
    if (state.pongs.push(chunk, () => true) !== null) this.#lose(state.socket);
  }
}
