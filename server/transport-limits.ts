/** Every maximum and timing of the peer transport, by name. */

export interface TransportLimits {
  /** Frames and bytes that wait for one peer; what comes on top is dropped and counted. */
  readonly outboxFramesMax: number;
  readonly outboxBytesMax: number;
  /** Bytes handed to the socket at a time; no more follow until it has passed them on. */
  readonly writeBytesMax: number;
  /** From the first packet of a connection to the end of its handshake. */
  readonly handshakeMs: number;
  /** Pause before the second attempt to reach a peer; doubles with each further one. */
  readonly redialMinMs: number;
  /** An empty directory has to be reached within this: `formationListenMs`. */
  readonly redialMaxMs: number;
  /** A connection that stood this long was a success, and the pauses begin anew. */
  readonly stableMs: number;
  /** How often an idle connection is asked whether the other end is there. */
  readonly pingMs: number;
  /** Pings without any sign of life before the connection is given up. */
  readonly unansweredPingsMax: number;
  /** Ping intervals without a byte before an inbound connection is given up. */
  readonly idlePingsMax: number;
  /** Inbound connections in their handshake; of more the oldest are closed. */
  readonly strangersMax: number;
  /** Peers with an inbound connection. */
  readonly inboundPeersMax: number;
  /** Reasons of refusals that are remembered, so that they are not told again. */
  readonly refusalsMax: number;
  /** Warnings in one ping interval; the rest is counted. */
  readonly warningsMax: number;
}

/** How long an empty node listens for members of a cluster that it was in, before it forms one. */
export const formationListenMs = 400;

export const defaultTransportLimits: TransportLimits = {
  outboxFramesMax: 4_096,
  outboxBytesMax: 32 << 20,
  writeBytesMax: 1 << 20,
  handshakeMs: 2_000,
  redialMinMs: 50,
  redialMaxMs: 250,
  stableMs: 1_000,
  pingMs: 1_000,
  unansweredPingsMax: 4,
  idlePingsMax: 10,
  strangersMax: 64,
  inboundPeersMax: 64,
  refusalsMax: 64,
  warningsMax: 10,
};
