/** Every maximum and timing of the HTTP port, by name. */

export interface Http1Limits {
  /** Open at once; more are closed as they come. Each costs a descriptor and some kilobytes. */
  readonly connectionsMax: number;
  /** Room for a key of 2,048 bytes, each of them escaped, and the usual headers. */
  readonly headBytesMax: number;
  /** Bytes read ahead of the request in hand: then the client has to wait. */
  readonly readAheadBytesMax: number;
  /** A larger body counts against `readingBytesMax` while it comes in. */
  readonly smallBodyBytesMax: number;
  readonly readingBytesMax: number;
  /** Bytes of a stream that may wait for a client that reads slowly. */
  readonly streamWaitingBytesMax: number;
  /** Taken and thrown away behind a refused body, so that the client gets to read the refusal. */
  readonly lingerBytesMax: number;
  /** How often times are looked at; those below are in this unit. */
  readonly sweepMs: number;
  /** From a head's first byte to its last. */
  readonly headSweeps: number;
  /** From the head to the end of the body. */
  readonly bodySweeps: number;
  /** Longer than clients keep idle connections, so that it is they who close. */
  readonly idleSweeps: number;
  /** For a client that takes nothing of its answer. */
  readonly stuckSweeps: number;
  readonly lingerSweeps: number;
}

export const http1Limits: Http1Limits = {
  connectionsMax: 10_000,
  headBytesMax: 16 << 10,
  readAheadBytesMax: 64 << 10,
  smallBodyBytesMax: 64 << 10,
  readingBytesMax: 64 << 20,
  streamWaitingBytesMax: 256 << 10,
  lingerBytesMax: 32 << 20,
  sweepMs: 1_000,
  headSweeps: 10,
  bodySweeps: 30,
  idleSweeps: 75,
  stuckSweeps: 60,
  lingerSweeps: 5,
};
