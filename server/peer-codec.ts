/**
 * Messages between nodes as msgpack tuples `[type, field, …]`, the fields in the order in which
 * `raft/message.ts` lists them. Entries are `[index, term, kind, timeMs, data]`,
 * configurations the bytes that their entries hold. Decoding trusts nothing: every field's type and
 * range is checked, and what is wrong comes back as a value.
 */

import { Decoder, Encoder } from "@msgpack/msgpack";
import { payloadBytesMax } from "./frame.ts";
import { keptBytes } from "./kept-bytes.ts";
import { refuseUnsafe, type GuardLimits } from "./msgpack-guard.ts";
import { MsgpackReader } from "./msgpack-reader.ts";
import { headBytesMax, MsgpackWriter, uintBytesMax } from "./msgpack-writer.ts";
import type {
  ForwardRefused,
  PeerMessage,
  Room,
  SnapshotOffer,
  SnapshotProgress,
} from "./peer-message.ts";
import { assert, unreachable } from "./raft/assert.ts";
import {
  decodeConfiguration,
  encodeConfiguration,
  type Configuration,
} from "./raft/configuration.ts";
import { index, term, type Entry, type EntryKind, type Index, type Term } from "./raft/entry.ts";
import type { Append } from "./raft/message.ts";

/** Entries, commands or sequence numbers in one message. */
export const listLengthMax = 1 << 17;
/** An entry, or a command that becomes one, still fits into a frame with all that stands around it. */
export const entryDataBytesMax = payloadBytesMax - 256;
/** A million terms, or entries, a second for nine years. */
const positionMax = 2 ** 48;

/** An entry is six values, so a list of `listLengthMax` entries fits; the worst costs some 30 MB for a moment. */
const guardLimits: GuardLimits = { depthMax: 8, valuesMax: 1 << 20 };

/** Never renumbered: two versions of the program may talk to each other. */
const typeNumbers = {
  preVote: 1,
  preVoteResponse: 2,
  vote: 3,
  voteResponse: 4,
  append: 5,
  appendAccepted: 6,
  appendRejected: 7,
  heartbeat: 8,
  heartbeatResponse: 9,
  snapshotOffer: 10,
  timeoutNow: 11,
  readIndex: 12,
  readIndexResponse: 13,
  forward: 14,
  forwardRefused: 15,
  snapshotChunk: 16,
  snapshotProgress: 17,
  diskReport: 18,
  recoveryPoint: 20,
  recoveryPointResponse: 21,
  ask: 22,
  answer: 23,
} as const satisfies Record<PeerMessage["type"], number>;

const typeNames = namesByNumber<PeerMessage["type"]>(typeNumbers);
const kindNumbers = { command: 1, noop: 2, configuration: 3 } as const;
const kinds = namesByNumber<EntryKind>(kindNumbers);
const reasonNumbers = { notLeader: 1, overloaded: 2, noSpace: 3 } as const;
const reasons = namesByNumber<ForwardRefused["reason"]>(reasonNumbers);
const roomNumbers = { ok: 1, low: 2, full: 3 } as const;
const rooms = namesByNumber<Room>(roomNumbers);
const phaseNumbers = {
  ...{ receiving: 1, building: 2, installed: 3, refused: 4, damaged: 5 },
  noRoom: 6,
} as const;
const phases = namesByNumber<SnapshotProgress["phase"]>(phaseNumbers);

function namesByNumber<Name extends string>(
  numbers: Record<Name, number>,
): ReadonlyMap<unknown, Name> {
  return new Map((Object.entries(numbers) as [Name, number][]).map(([name, n]) => [n, name]));
}

// ------------------------------------------------------------------ encoding

/** The bytes of one message. `tail` may be shared with messages to other peers: not to be changed. */
export interface EncodedMessage {
  readonly head: Uint8Array;
  readonly tail: Uint8Array | null;
}

/**
 * Encodes what one node sends. Appends to several peers mostly carry the same entries, so those are
 * encoded once and kept until `forgetEntries`.
 */
export class PeerEncoder {
  readonly #encoder = new Encoder();
  #known: EncodedEntries[] = [];
  /** Entry lists that are kept; beyond it the oldest goes. */
  static readonly entryListsMax = 16;

  encode(message: PeerMessage): EncodedMessage {
    if (message.type !== "append")
      return { head: this.#encoder.encode(tuple(message)), tail: null };
    const head = encodeAppendHead(message);
    return message.entries.length === 0
      ? { head, tail: null }
      : { head, tail: this.#encodeEntries(message.entries) };
  }

  forgetEntries(): void {
    if (this.#known.length > 0) this.#known = [];
  }

  #encodeEntries(entries: readonly Entry[]): Uint8Array {
    const first = entries[0];
    const last = entries[entries.length - 1];
    assert(first !== undefined && last !== undefined, "there are entries");
    assert(entries.length <= listLengthMax, "an append holds no more entries than may be sent");
    for (const known of this.#known) {
      // (index, term) of the last entry determines all before it (log matching, Raft §5.3).
      const isSame = known.first === first.index && known.last === last.index;
      if (isSame && known.term === last.term) return known.bytes;
    }
    const bytes = encodeEntries(entries);
    if (this.#known.length >= PeerEncoder.entryListsMax) this.#known.shift();
    this.#known.push({ first: first.index, last: last.index, term: last.term, bytes });
    return bytes;
  }
}

/** A list of entries from `first` to `last`, the latter of `term`. */
interface EncodedEntries {
  readonly first: Index;
  readonly last: Index;
  readonly term: Term;
  readonly bytes: Uint8Array;
}

/** The tuple up to the list of entries, which is its last field; an empty one is part of it. */
function encodeAppendHead(message: Append): Uint8Array {
  const writer = new MsgpackWriter(2 * headBytesMax + 5 * uintBytesMax);
  writer.list(6);
  writer.uint(typeNumbers.append);
  writer.uint(message.term);
  writer.uint(message.previousIndex);
  writer.uint(message.previousTerm);
  writer.uint(message.commitIndex);
  if (message.entries.length === 0) writer.list(0);
  return writer.done();
}

const entryOverheadBytes = 2 * headBytesMax + 4 * uintBytesMax;

function encodeEntries(entries: readonly Entry[]): Uint8Array {
  let bytes = headBytesMax;
  for (const entry of entries) bytes += entryOverheadBytes + entry.data.byteLength;
  const writer = new MsgpackWriter(bytes);
  writer.list(entries.length);
  for (const entry of entries) {
    writer.list(5);
    writer.uint(entry.index);
    writer.uint(entry.term);
    writer.uint(kindNumbers[entry.kind]);
    writer.uint(entry.timeMs);
    writer.bytes(entry.data);
  }
  return writer.done();
}

/** Of everything but appends, which are written by hand. */
function tuple(m: Exclude<PeerMessage, Append>): unknown[] {
  const type = typeNumbers[m.type];
  switch (m.type) {
    case "preVote":
      return [type, m.term, m.lastLogIndex, m.lastLogTerm];
    case "preVoteResponse":
    case "voteResponse":
      return [type, m.term, m.granted];
    case "vote":
      return [type, m.term, m.lastLogIndex, m.lastLogTerm, m.transfer];
    case "appendAccepted":
      return [type, m.term, m.matchIndex];
    case "appendRejected":
      return [type, m.term, m.previousIndex, m.hintIndex, m.hintTerm];
    case "heartbeat":
      return [type, m.term, m.commitIndex, m.readRound];
    case "heartbeatResponse":
      return [type, m.term, m.readRound];
    case "snapshotOffer":
      return [
        type,
        m.term,
        m.lastIndex,
        m.lastTerm,
        encodeConfiguration(m.configuration),
        m.id,
        m.bytes,
      ];
    case "snapshotChunk":
      return [type, m.id, m.offset, m.data];
    case "snapshotProgress":
      return [type, m.id, m.offset, phaseNumbers[m.phase]];
    case "timeoutNow":
      return [type, m.term];
    case "readIndex":
      return [type, m.term, m.requestId];
    case "readIndexResponse":
      return [type, m.term, m.requestId, m.readIndex];
    case "recoveryPoint":
    case "recoveryPointResponse":
      return [type, m.term, m.requestId, m.lastIndex];
    case "ask":
    case "answer":
      return [type, m.requestId, m.body];
    case "forward":
      return [type, m.commands];
    case "forwardRefused":
      return [type, reasonNumbers[m.reason], m.session, m.sequences];
    case "diskReport":
      return [type, roomNumbers[m.room]];
    default:
      return unreachable(m);
  }
}

// ------------------------------------------------------------------ decoding

export type Decoded =
  | { readonly ok: true; readonly message: PeerMessage }
  | { readonly ok: false; readonly detail: string };

/** Thrown and caught in this file only. */
class Malformed extends Error {
  override name = "Malformed";
}

const decoder = new Decoder();

/**
 * Reads one message. The caller gives `bytes` away: large entries and commands of the result are views
 * into them. Smaller ones are copies, so that what is kept never pins more than twice its own size.
 */
export function decodePeerMessage(bytes: Uint8Array): Decoded {
  const common = decodeCommands(bytes);
  if (common !== null) return { ok: true, message: common };
  const unsafe = refuseUnsafe(bytes, guardLimits);
  if (unsafe !== null) return { ok: false, detail: unsafe };
  try {
    const message = readMessage(new Fields(decoder.decode(bytes), "message"));
    return { ok: true, message };
  } catch (error) {
    // Ours, or the decoder's own about bytes that the guard let through: the same to the caller.
    return { ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * An append or a forward, read without a detour: every write passes here. Null where it is another
 * message, or anything is odd about it; what is wrong is then said by the way all others take.
 */
function decodeCommands(bytes: Uint8Array): PeerMessage | null {
  if (bytes[0] === 0x96 && bytes[1] === typeNumbers.append) return decodeAppend(bytes);
  if (bytes[0] !== 0x92 || bytes[1] !== typeNumbers.forward) return null;
  const reader = new MsgpackReader(bytes);
  reader.list(2);
  reader.uint(typeNumbers.forward);
  const count = reader.list(listLengthMax);
  const commands: Uint8Array[] = [];
  while (commands.length < count && !reader.isBroken)
    commands.push(reader.bytes(entryDataBytesMax));
  return reader.isAtEnd ? { type: "forward", commands } : null;
}

function decodeAppend(bytes: Uint8Array): Append | null {
  const reader = new MsgpackReader(bytes);
  reader.list(6);
  reader.uint(typeNumbers.append);
  const termOfLeader = term(reader.uint(positionMax));
  const previousIndex = index(reader.uint(positionMax));
  const previousTerm = term(reader.uint(positionMax));
  const commitIndex = index(reader.uint(positionMax));
  const count = reader.list(listLengthMax);
  const entries: Entry[] = [];
  let newestTerm = previousTerm;
  while (entries.length < count) {
    const entry = decodeEntry(reader);
    if (entry === null || entry.index !== previousIndex + 1 + entries.length) return null;
    if (entry.term < newestTerm) return null;
    newestTerm = entry.term;
    entries.push(entry);
  }
  if (!reader.isAtEnd || newestTerm > termOfLeader) return null;
  return { type: "append", term: termOfLeader, previousIndex, previousTerm, commitIndex, entries };
}

/** Null also of a configuration: those are few, and read with more care. */
function decodeEntry(reader: MsgpackReader): Entry | null {
  if (reader.list(5) !== 5) return null;
  const at = index(reader.uint(positionMax));
  const entryTerm = term(reader.uint(positionMax));
  const kind = kinds.get(reader.uint(kindNumbers.configuration));
  const timeMs = reader.uint(Number.MAX_SAFE_INTEGER);
  const data = reader.bytes(entryDataBytesMax);
  if (reader.isBroken || kind === undefined || kind === "configuration") return null;
  return { index: at, term: entryTerm, kind, timeMs, data };
}

function readMessage(fields: Fields): PeerMessage {
  const type = fields.oneOf(typeNames);
  const message = readFields(type, fields);
  fields.end(type);
  return message;
}

function readFields(type: PeerMessage["type"], f: Fields): PeerMessage {
  switch (type) {
    case "preVote":
      return { type, term: f.term(), lastLogIndex: f.index(), lastLogTerm: f.term() };
    case "preVoteResponse":
    case "voteResponse":
      return { type, term: f.term(), granted: f.boolean() };
    case "vote":
      return {
        type,
        term: f.term(),
        lastLogIndex: f.index(),
        lastLogTerm: f.term(),
        transfer: f.boolean(),
      };
    case "append":
      return readAppend(f);
    case "appendAccepted":
      return { type, term: f.term(), matchIndex: f.index() };
    case "appendRejected":
      return {
        type,
        term: f.term(),
        previousIndex: f.index(),
        hintIndex: f.index(),
        hintTerm: f.term(),
      };
    case "heartbeat":
      return { type, term: f.term(), commitIndex: f.index(), readRound: f.integer() };
    case "heartbeatResponse":
      return { type, term: f.term(), readRound: f.integer() };
    case "snapshotOffer":
      return readOffer(f);
    case "snapshotChunk":
      return { type, id: f.integer(), offset: f.integer(), data: f.bytes() };
    case "snapshotProgress":
      return { type, id: f.integer(), offset: f.integer(), phase: f.oneOf(phases) };
    case "timeoutNow":
      return { type, term: f.term() };
    case "readIndex":
      return { type, term: f.term(), requestId: f.integer() };
    case "readIndexResponse":
      return { type, term: f.term(), requestId: f.integer(), readIndex: f.index() };
    case "recoveryPoint":
    case "recoveryPointResponse":
      return { type, term: f.term(), requestId: f.integer(), lastIndex: f.index() };
    case "ask":
    case "answer":
      return { type, requestId: f.integer(), body: f.bytes() };
    case "forward":
      return { type, commands: f.list(listLengthMax).map(keptField) };
    case "forwardRefused":
      return {
        type,
        reason: f.oneOf(reasons),
        session: f.integer(),
        sequences: f.list(listLengthMax).map(integer),
      };
    case "diskReport":
      return { type, room: f.oneOf(rooms) };
    default:
      return unreachable(type);
  }
}

/** The snapshot's last entry is no newer than its leader. */
function readOffer(f: Fields): SnapshotOffer {
  const termOfLeader = f.term();
  const lastIndex = f.index();
  const lastTerm = f.term();
  if (lastTerm > termOfLeader) throw new Malformed("a snapshot's term is newer than its leader's");
  const configuration = readConfiguration(f.bytes());
  const [id, bytes] = [f.integer(), f.integer()];
  const place = { term: termOfLeader, lastIndex, lastTerm };
  return { type: "snapshotOffer", ...place, configuration, id, bytes };
}

/** Beyond the fields: the entries follow each other, and no term is newer than the leader's. */
function readAppend(f: Fields): Append {
  const termOfLeader = f.term();
  const previousIndex = f.index();
  const previousTerm = f.term();
  const commitIndex = f.index();
  const list = f.list(listLengthMax);
  const entries: Entry[] = [];
  let newestTerm = previousTerm;
  for (let i = 0; i < list.length; i++) {
    const entry = readEntry(new Fields(list[i], "entry"));
    if (entry.index !== previousIndex + 1 + i) throw new Malformed("entries that do not follow");
    if (entry.term < newestTerm)
      throw new Malformed("an entry's term is older than the one before");
    newestTerm = entry.term;
    entries.push(entry);
  }
  if (newestTerm > termOfLeader) throw new Malformed("an entry's term is newer than its leader's");
  return { type: "append", term: termOfLeader, previousIndex, previousTerm, commitIndex, entries };
}

function readEntry(f: Fields): Entry {
  const entry: Entry = {
    index: f.index(),
    term: f.term(),
    kind: f.oneOf(kinds),
    timeMs: f.integer(),
    data: f.bytes(),
  };
  f.end("entry");
  if (entry.kind === "configuration") readConfiguration(entry.data);
  return entry;
}

/** Checked here because the core reads it as soon as it is in the log, and trusts its own log. */
function readConfiguration(data: Uint8Array): Configuration {
  try {
    return decodeConfiguration(data);
  } catch {
    throw new Malformed("a configuration that is none");
  }
}

/** The values of one tuple, taken in order and checked on the way. */
class Fields {
  readonly #values: readonly unknown[];
  #next = 0;

  constructor(value: unknown, what: string) {
    if (!Array.isArray(value)) throw new Malformed(`a ${what} is not a tuple`);
    this.#values = value;
  }

  integer(): number {
    return integer(this.#take());
  }

  term(): Term {
    return term(bounded(this.integer()));
  }

  index(): Index {
    return index(bounded(this.integer()));
  }

  boolean(): boolean {
    const value = this.#take();
    if (typeof value !== "boolean") throw new Malformed("a field is not a boolean");
    return value;
  }

  bytes(): Uint8Array {
    return keptField(this.#take());
  }

  list(lengthMax: number): unknown[] {
    const value = this.#take();
    if (!Array.isArray(value)) throw new Malformed("a field is not a list");
    if (value.length > lengthMax) throw new Malformed(`a list is longer than ${lengthMax}`);
    return value;
  }

  oneOf<Name>(names: ReadonlyMap<unknown, Name>): Name {
    const value = this.#take();
    const name = names.get(value);
    if (name === undefined) throw new Malformed("a number that stands for nothing");
    return name;
  }

  end(what: string): void {
    if (this.#next !== this.#values.length) throw new Malformed(`a ${what} has too many fields`);
  }

  #take(): unknown {
    if (this.#next >= this.#values.length) throw new Malformed("a tuple has too few fields");
    return this.#values[this.#next++];
  }
}

function integer(value: unknown): number {
  // What is 2^53 or more arrives rounded, and is not a safe integer either.
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Malformed("a field is not an integer below 2^53");
}

/** Far below where integers end, so that the next term or index is always one as well. */
function bounded(value: number): number {
  if (value <= positionMax) return value;
  throw new Malformed("a term or an index beyond 2^48");
}

/** What the decoder gives are views of the whole packet. */
function keptField(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Malformed("a field is not bytes");
  if (value.byteLength > entryDataBytesMax)
    throw new Malformed("an entry too large to be passed on");
  return keptBytes(value);
}
