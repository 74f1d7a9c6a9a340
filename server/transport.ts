/**
 * The network between the nodes over TCP. For each pair of nodes there are two connections, each dialed
 * by the node whose messages it carries: so it is always clear who redials, and both directions have
 * proved who they are. Delivery is best effort; Raft sends again.
 */

import { frameHeader, payloadBytesMax } from "./frame.ts";
import { nonceBytes, type PeerIdentity, type Refusal } from "./handshake.ts";
import { Inbound, type InboundEvents } from "./inbound.ts";
import { Outbound, type OutboundEvents } from "./outbound.ts";
import { PeerEncoder } from "./peer-codec.ts";
import type { PeerMessage } from "./peer-message.ts";
import type { Clock, Network, Random, Timer } from "./ports.ts";
import type { NodeId } from "./raft/entry.ts";
import type { Refused } from "./refusals.ts";
import { sockets } from "./socket/runtime.ts";
import type { SocketAddress, SocketListener, StreamSocket } from "./socket/socket.ts";
import { defaultTransportLimits, type TransportLimits } from "./transport-limits.ts";

export interface TransportOptions {
  readonly self: NodeId;
  /** Port 0 takes any free one. */
  readonly listen: SocketAddress;
  /** Whom to dial, and where. This node itself may be among them. */
  readonly peers: ReadonlyMap<NodeId, SocketAddress>;
  /** Null: whoever can connect is believed. Only for addresses nobody else can reach. */
  readonly secret: Uint8Array | null;
  /** Who this node is, at the moment it is asked. */
  readonly identity: () => PeerIdentity;
  readonly events: TransportEvents;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits?: Partial<TransportLimits>;
}

export interface TransportEvents {
  /** Judges a peer, whoever of the two has dialed. Null: welcome. */
  admit(peer: PeerIdentity): Refusal | null;
  /** From now on `send` reaches the peer. Nothing is said about its messages to us. */
  connected(peer: PeerIdentity): void;
  disconnected(peer: NodeId): void;
  /**
   * We dialed `peer`, and one of the two refused the other; comes again with every attempt.
   */
  refused(peer: NodeId, refused: Refused): void;
  /** `incarnation` is of the peer's directory, as its handshake has shown it. */
  message(from: NodeId, message: PeerMessage, incarnation: string): void;
  /** A sentence for the log; bounded in number. */
  warn(text: string): void;
}

export interface PeerCounters {
  readonly queuedFrames: number;
  readonly queuedBytes: number;
  /** Messages that found the outbox full, since the start. */
  readonly dropped: number;
}

export class PeerTransport implements Network {
  readonly #options: TransportOptions;
  readonly #limits: TransportLimits;
  readonly #encoder = new PeerEncoder();
  readonly #outbounds = new Map<NodeId, Outbound>();
  /** Those that have not yet proved who they are, oldest first. */
  readonly #strangers = new Set<Inbound>();
  readonly #inbounds = new Map<NodeId, Inbound>();
  #listener: SocketListener | null = null;
  #ticker: Timer | null = null;
  #isDialing = false;
  #isClosed = false;
  #warnings = 0;
  /** Why peers were refused since one was last admitted. */
  readonly #refusals = new Set<string>();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#limits = { ...defaultTransportLimits, ...options.limits };
    this.setPeers(options.peers);
  }

  /** Opens the port. Rejects with the system's error where that fails (`code` says `EADDRINUSE`). */
  async listen(): Promise<void> {
    this.#listener = await sockets.listen(this.#options.listen, (socket) => this.#accept(socket));
    this.#ticker = this.#options.clock.every(this.#limits.pingMs, () => this.#tick());
  }

  /** Begins to dial the peers, and does not stop before `close`. */
  dial(): void {
    this.#isDialing = true;
    for (const outbound of this.#outbounds.values()) outbound.dial();
  }

  /** `listen`, then `dial`. */
  async start(): Promise<void> {
    await this.listen();
    this.dial();
  }

  /** The port that is open; null before and after. */
  get port(): number | null {
    return this.#listener?.port ?? null;
  }

  /** Closes every connection and the port. What was not flushed is lost. */
  close(): void {
    this.#isClosed = true;
    this.#ticker?.cancel();
    for (const outbound of this.#outbounds.values()) outbound.close();
    for (const inbound of [...this.#strangers, ...this.#inbounds.values()]) inbound.close();
    this.#listener?.close();
    this.#listener = null;
  }

  // ------------------------------------------------------------------ sending

  send(to: NodeId, message: PeerMessage): boolean {
    const outbound = this.#outbounds.get(to);
    if (!outbound?.isConnected) return false;
    const { head, tail } = this.#encoder.encode(message);
    const bytes = head.byteLength + (tail?.byteLength ?? 0);
    if (bytes > payloadBytesMax) {
      this.#warn(`a ${message.type} of ${bytes} bytes is too large to be sent`);
      return false;
    }
    return outbound.send([frameHeader(head, tail), head, tail]);
  }

  flush(): void {
    this.#encoder.forgetEntries();
    for (const outbound of this.#outbounds.values()) outbound.flush();
  }

  isConnected(peer: NodeId): boolean {
    return this.#outbounds.get(peer)?.isConnected ?? false;
  }

  counters(peer: NodeId): PeerCounters | null {
    const outbound = this.#outbounds.get(peer);
    if (!outbound) return null;
    const { count, bytes } = outbound.outbox;
    return { queuedFrames: count, queuedBytes: bytes, dropped: outbound.dropped };
  }

  // ------------------------------------------------------------------ peers

  /** Dials who is new, lets go who is gone, and finds who has moved. */
  setPeers(peers: ReadonlyMap<NodeId, SocketAddress>): void {
    for (const [id, outbound] of this.#outbounds) {
      const address = peers.get(id);
      const { host, port } = outbound.address;
      if (address?.host === host && address.port === port) continue;
      this.#outbounds.delete(id);
      outbound.close();
      if (!address) this.#inbounds.get(id)?.close();
    }
    for (const [id, address] of peers) {
      if (id === this.#options.self || this.#outbounds.has(id)) continue;
      const outbound = this.#createOutbound(id, address);
      this.#outbounds.set(id, outbound);
      if (this.#isDialing && !this.#isClosed) outbound.dial();
    }
  }

  /** Has everybody judged again, and parts with those who are not welcome any more. */
  readmit(): void {
    for (const inbound of [...this.#inbounds.values()]) {
      if (inbound.peer && this.#options.events.admit(inbound.peer)) inbound.close();
    }
    for (const outbound of [...this.#outbounds.values()]) {
      if (outbound.peer && this.#options.events.admit(outbound.peer)) outbound.redial();
    }
  }

  /** Drops the connections we have dialed and makes them anew: who we are has changed. */
  redial(): void {
    if (!this.#isDialing || this.#isClosed) return;
    for (const outbound of this.#outbounds.values()) outbound.redial();
  }

  #createOutbound(to: NodeId, address: SocketAddress): Outbound {
    const { clock, events, identity, random, secret, self } = this.#options;
    const outboundEvents: OutboundEvents = {
      connected: (peer) => events.connected(peer),
      disconnected: (peer) => events.disconnected(peer),
      refused: (peer, refused) => events.refused(peer, refused),
    };
    const judge = (peer: PeerIdentity): Refusal | null => events.admit(peer);
    return new Outbound({
      to,
      address,
      handshake: { self, secret, identity, judge },
      limits: this.#limits,
      clock,
      random,
      events: outboundEvents,
    });
  }

  // ------------------------------------------------------------------ receiving

  #accept(socket: StreamSocket): Inbound {
    const { clock, identity, random, secret, self } = this.#options;
    const nonce = random.bytes(nonceBytes);
    const inbound = new Inbound(socket, {
      handshake: { self, secret, nonce, identity, judge: (peer) => this.#judgeInbound(peer) },
      limits: this.#limits,
      clock,
      events: this.#inboundEvents,
    });
    this.#strangers.add(inbound);
    // The oldest goes and not the newest: who floods us with idle sockets closes his own.
    if (this.#strangers.size > this.#limits.strangersMax) {
      for (const oldest of this.#strangers) {
        oldest.close();
        break;
      }
    }
    return inbound;
  }

  #judgeInbound(peer: PeerIdentity): Refusal | null {
    const isFull = this.#inbounds.size >= this.#limits.inboundPeersMax;
    if (isFull && !this.#inbounds.has(peer.nodeId)) {
      return {
        reason: "unknownMember",
        detail: `${this.#inbounds.size} peers are connected already`,
      };
    }
    return this.#options.events.admit(peer);
  }

  readonly #inboundEvents: InboundEvents = {
    authenticated: (inbound, peer) => this.#authenticated(inbound, peer),
    message: ({ nodeId, incarnation }, message) =>
      this.#options.events.message(nodeId, message, incarnation),
    closed: (inbound) => this.#inboundClosed(inbound),
    refused: (origin, why) => this.#warnOfRefusal(origin, why),
    warn: (text) => this.#warn(text),
  };

  /** One connection a node: the newer one is of a peer that has given up the older, or has restarted. */
  #authenticated(inbound: Inbound, peer: PeerIdentity): void {
    this.#strangers.delete(inbound);
    this.#refusals.clear();
    const older = this.#inbounds.get(peer.nodeId);
    this.#inbounds.set(peer.nodeId, inbound);
    older?.close();
    // It is up: no reason to sit out the pause before the next attempt.
    if (this.#isDialing) this.#outbounds.get(peer.nodeId)?.dial();
  }

  #inboundClosed(inbound: Inbound): void {
    this.#strangers.delete(inbound);
    const id = inbound.peer?.nodeId;
    if (id !== undefined && this.#inbounds.get(id) === inbound) this.#inbounds.delete(id);
  }

  #tick(): void {
    const suppressed = this.#warnings - this.#limits.warningsMax;
    this.#warnings = 0;
    if (suppressed > 0) this.#options.events.warn(`${suppressed} more warnings of the peer port`);
    for (const inbound of this.#inbounds.values()) inbound.tick();
    for (const outbound of this.#outbounds.values()) outbound.tick();
  }

  #warnOfRefusal(origin: string, why: string): void {
    if (this.#refusals.has(why)) return;
    if (this.#refusals.size >= this.#limits.refusalsMax) this.#refusals.clear();
    this.#refusals.add(why);
    this.#warn(`refused a peer at ${origin}: ${why}`);
  }

  #warn(text: string): void {
    if (++this.#warnings <= this.#limits.warningsMax) this.#options.events.warn(text);
  }
}
