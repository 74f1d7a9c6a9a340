/** Every maximum and timing of the HTTP port, by name. */

import { valueBytesMax } from "../state-machine/command.ts";

export interface Http1Limits {
  /**
   * Open at once. One more takes the place of one on which nothing is asked, or is closed where there
   * is none. Each costs a descriptor and some kilobytes.
   */
  readonly connectionsMax: number;
  /** Connections beyond those that are told at the same time why they are closed. */
  readonly turnedAwayMax: number;
  /** Room for a key of 2,048 bytes, each of them escaped, and the usual headers. */
  readonly headBytesMax: number;
  /** Bytes read ahead of the request in hand: then the client has to wait. */
  readonly readAheadBytesMax: number;
  /** A larger body counts against `readingBytesMax` while it comes in. */
  readonly smallBodyBytesMax: number;
  /** And one that is larger than this, until it is answered: what becomes of it may be much smaller. */
  readonly valueBodyBytesMax: number;
  readonly readingBytesMax: number;
  /** Bytes of a stream that may wait for a client that reads slowly. */
  readonly streamWaitingBytesMax: number;
  /** Taken and thrown away behind a refused body, so that the client gets to read the refusal. */
  readonly lingerBytesMax: number;
  /** How often times are looked at; those below are in this unit. */
  readonly sweepMs: number;
  /** How often it is looked for refused clients whose rest is over. */
  readonly wakeMs: number;
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
  turnedAwayMax: 16,
  headBytesMax: 16 << 10,
  readAheadBytesMax: 64 << 10,
  smallBodyBytesMax: 64 << 10,
  valueBodyBytesMax: valueBytesMax,
  readingBytesMax: 64 << 20,
  streamWaitingBytesMax: 256 << 10,
  lingerBytesMax: 32 << 20,
  sweepMs: 1_000,
  wakeMs: 10,
  headSweeps: 10,
  bodySweeps: 30,
  idleSweeps: 75,
  stuckSweeps: 60,
  lingerSweeps: 5,
};

/** For `/v1/status`: what a client may have to know of them, times in milliseconds. */
export function shownHttp1Limits(limits: Http1Limits): Record<string, number> {
  const { sweepMs } = limits;
  return {
    httpConnectionsMax: limits.connectionsMax,
    httpHeadBytesMax: limits.headBytesMax,
    httpReadingBytesMax: limits.readingBytesMax,
    httpHeadTimeoutMs: limits.headSweeps * sweepMs,
    httpBodyTimeoutMs: limits.bodySweeps * sweepMs,
    httpIdleTimeoutMs: limits.idleSweeps * sweepMs,
    httpStuckTimeoutMs: limits.stuckSweeps * sweepMs,
  };
}
