/** Several consecutive records: entries to the bytes of a segment, and back. */

import { assert, must } from "../server/raft/assert.ts";
import type { Entry } from "../server/raft/entry.ts";
import {
  decodeBody,
  decodeHeader,
  encodeRecord,
  recordBytes,
  recordHeaderBytes,
  type RecordPlace,
} from "./record.ts";

/** Where each record of the run stands, and the chain behind it. */
export interface EncodedRun {
  readonly offsets: number[];
  readonly chains: number[];
}

/** Writes the run, whose first record will stand at `place`, to the start of `target`. */
export function encodeRun(run: readonly Entry[], place: RecordPlace, target: Buffer): EncodedRun {
  let { chain } = place;
  let at = 0;
  const offsets: number[] = [];
  const chains: number[] = [];
  for (const entry of run) {
    const offset = place.offset + at;
    chain = encodeRecord(entry, { ...place, offset, chain }, { target, at });
    offsets.push(offset);
    chains.push(chain);
    at += recordBytes(entry.data.byteLength);
  }
  return { offsets, chains };
}

/** Reads `bytes`, records of a segment with that salt, the first of which is entry `firstIndex`. */
export function decodeRun(
  bytes: Buffer,
  run: {
    readonly firstIndex: number;
    readonly salt: number;
    /** The chain before each record. */
    readonly chains: readonly number[];
  },
): { entries: Entry[]; damagedAt: number | null } {
  const { firstIndex, salt, chains } = run;
  const entries: Entry[] = [];
  let at = 0;
  while (entries.length < chains.length) {
    const chain = must(chains[entries.length], "one a record");
    const header = decodeHeader(bytes, at, salt);
    const body = at + recordHeaderBytes;
    const entry =
      header && decodeBody(header, { chain, salt }, bytes.subarray(body, body + header.bodyBytes));
    if (entry?.index !== firstIndex + entries.length) return { entries, damagedAt: at };
    entries.push(entry);
    at += recordBytes(entry.data.byteLength);
  }
  assert(at <= bytes.byteLength, "the records lie within the bytes");
  return { entries, damagedAt: null };
}
