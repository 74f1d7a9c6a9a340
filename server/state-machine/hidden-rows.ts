/**
 * Leases, and the queues of locks and elections, are rows like others, under keys that begin with NUL:
 * no user's key does, so that nobody names, lists or watches them by accident.
 *
 * A lease is the row `\0lease/ID`: its value is its TTL in milliseconds, its deadline is the lease's, and
 * its id the revision that granted it. A place in a queue is the row `\0queue/NAME\0TOKEN`, attached to a
 * lease, whose token is the revision that made it: so the first row of a queue is who came first, and
 * tokens only grow. Whoever is first holds the lock, or leads.
 */

import type { Index } from "../raft/entry.ts";
import { prefixRange } from "./key-range.ts";
import type { RowReader } from "./rows.ts";

/** Bytes of the name of a lock or an election. */
export const queueNameBytesMax = 1_024;

/** `lock/NAME` or `election/NAME`. */
export type Queue = string;

const leasePrefix = "\0lease/";
/** As many as 2^53 takes: the order of the keys is that of the tokens. */
const tokenDigits = 14;

export const isHidden = (key: string): boolean => key.charCodeAt(0) === 0;

export const leaseKey = (lease: number): string => leasePrefix + lease;

/** Null where it is no lease's key. */
export const leaseOfKey = (key: string): number | null =>
  key.startsWith(leasePrefix) ? Number(key.slice(leasePrefix.length)) : null;

export const queuePrefix = (queue: Queue): string => `\0queue/${queue}\0`;

export const placeKey = (queue: Queue, token: number): string =>
  queuePrefix(queue) + token.toString(16).padStart(tokenDigits, "0");

export const tokenOfPlace = (key: string): Index =>
  Number.parseInt(key.slice(-tokenDigits), 16) as Index;

/** The key of the place in front; null where nobody is in the queue. */
export function firstPlace(reader: RowReader, queue: Queue): string | null {
  const range = prefixRange(queuePrefix(queue));
  for (const { key } of reader.scan(range, { reverse: false, keysOnly: true })) return key;
  return null;
}

/** 0 where nobody holds it. */
export function holderToken(reader: RowReader, queue: Queue): number {
  const first = firstPlace(reader, queue);
  return first === null ? 0 : tokenOfPlace(first);
}
