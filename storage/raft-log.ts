/** The Raft log on disk: segments of checksummed records, one sync for each batch. */

import { assert, must } from "../server/raft/assert.ts";
import {
  entryBytes,
  index,
  term,
  type Entry,
  type Index,
  type Term,
} from "../server/raft/entry.ts";
import type { LogReader } from "../server/raft/log-reader.ts";
import { DiskError, readFully, writeFully, type Disk, type DiskFile } from "./disk.ts";
import {
  decodeBody,
  decodeHeader,
  encodeRecord,
  recordBytes,
  recordHeaderBytes,
} from "./record.ts";
import {
  createSegment,
  decodeSegmentHeader,
  isAllZero,
  readWhole,
  segmentFirstIndex,
  segmentHeaderBytes,
  segmentName,
  type SegmentHeader,
} from "./segment.ts";
import { scanSegment, type SegmentTable } from "./segment-scan.ts";
import { forgetTruncation, noteTruncation, notedTruncation } from "./truncation.ts";

export interface LogDamage {
  readonly path: string;
  readonly offset: number;
  readonly detail: string;
}

/** Damage found while the node runs: what cannot be vouched for is not served. */
export class LogDamaged extends Error {
  override name = "LogDamaged";
  readonly damage: LogDamage;

  constructor(damage: LogDamage) {
    super(`${damage.path}: at byte ${damage.offset}, ${damage.detail}`);
    this.damage = damage;
  }
}

export interface RaftLogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly group: number;
  /** A random 32-bit number for each new segment. */
  readonly drawSalt: () => number;
  /** A segment is closed before it grows beyond this. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Zeros are written ahead in steps of this, so that steady appends do not change file metadata. */
  readonly preallocateBytes?: number;
  /** Entry bytes kept in memory, newest first. Default 4 MiB. */
  readonly cacheBytes?: number;
  /** Entries from here on are needed at once: their segments are verified at the start. */
  readonly replayFrom: Index;
}

export type OpenLogResult =
  | { readonly ok: true; readonly log: RaftLog; readonly droppedBytes: number }
  | { readonly ok: false; readonly damage: LogDamage };

interface Segment {
  readonly path: string;
  readonly header: SegmentHeader;
  readonly file: DiskFile;
  /** Null until it has been verified, and again when it is an old one and others were needed since. */
  table: SegmentTable | null;
  isVerified: boolean;
}

const defaults = {
  segmentBytes: 16 << 20,
  preallocateBytes: 1 << 20,
  cacheBytes: 4 << 20,
};

/** Tables of closed segments kept in memory: followers that lag read one place after the other. */
const closedTablesMax = 2;

/** Invariant: segments are contiguous; the last one is the only one that is written to. */
export class RaftLog implements LogReader {
  readonly #options: Required<RaftLogOptions>;
  readonly #segments: Segment[];
  readonly #zeros: Uint8Array;
  #scratch = Buffer.alloc(256 << 10);
  /** The newest entries, contiguous up to the last one, from `#cacheStart` of the array on. */
  #cache: (Entry | undefined)[] = [];
  #cacheStart = 0;
  #cacheBytes = 0;
  #lastIndex: Index;
  /** Behind the last record written, and behind the last one synced, of the last segment. */
  #writeOffset: number;
  #syncedOffset: number;
  /** The last segment's file is this long; zeros from `#writeOffset` on. */
  #allocated: number;
  #tables: Segment[] = [];
  #scrubPosition = 0;
  /** A write or sync failed: the file's state is unknown, and nothing may be promised about it. */
  #isBroken = false;

  private constructor(options: Required<RaftLogOptions>, segments: Segment[]) {
    this.#options = options;
    this.#segments = segments;
    this.#zeros = new Uint8Array(options.preallocateBytes);
    const { header, table, file } = this.#active;
    const { offsets, end } = must(table, "the last segment was scanned");
    this.#lastIndex = index(header.firstIndex + offsets.length - 1);
    this.#writeOffset = end;
    this.#syncedOffset = end;
    this.#allocated = file.size();
  }

  /** Makes an empty log. The directory exists; its own entry is the caller's to sync. */
  static create(options: Omit<RaftLogOptions, "replayFrom">): void {
    const { disk, directory, group, drawSalt } = options;
    createSegment(disk, directory, {
      group,
      salt: drawSalt(),
      firstIndex: 1,
      previousTerm: 0,
      chain: 0,
      previousFirstIndex: 0,
    }).close();
  }

  static open(given: RaftLogOptions): OpenLogResult {
    const options = { ...defaults, ...given };
    const opened = openSegments(options);
    if (!opened.ok) return opened;
    const { segments, until } = opened;
    let droppedBytes = 0;
    for (let i = 0; i < segments.length; i++) {
      const segment = must(segments[i], "i is in range");
      const next = segments[i + 1];
      const isNeeded = next === undefined || next.header.firstIndex > options.replayFrom;
      if (!isNeeded) continue;
      const verified = verify(segment, next, until);
      if (!verified.ok) return verified;
      droppedBytes += verified.droppedBytes;
    }
    const log = new RaftLog(options, segments);
    log.#settle(droppedBytes > 0 || until !== undefined);
    return { ok: true, log, droppedBytes };
  }

  get firstIndex(): Index {
    return index(must(this.#segments[0], "a log has a segment").header.firstIndex);
  }

  get lastIndex(): Index {
    return this.#lastIndex;
  }

  term(at: Index): Term | null {
    if (at > this.#lastIndex || at < this.firstIndex - 1) return null;
    const cached = this.#cached(at);
    if (cached) return cached.term;
    const { header } = must(this.#segments[0], "a log has a segment");
    if (at === header.firstIndex - 1) return term(header.previousTerm);
    const segment = this.#segmentOf(at);
    return term(must(this.#table(segment).terms[at - segment.header.firstIndex], "it is there"));
  }

  entries(from: Index, through: Index, bytesMax: number): Entry[] {
    assert(from >= this.firstIndex && through <= this.#lastIndex, "the entries are in the log");
    assert(from <= through, "at least one entry is asked for");
    if (!this.#cached(from)) return this.#readEntries(from, through, bytesMax);
    const result: Entry[] = [];
    let bytes = 0;
    for (let at = from; at <= through; at = index(at + 1)) {
      const entry = must(this.#cached(at), "the cache reaches to the end");
      bytes += entryBytes(entry);
      if (result.length > 0 && bytes > bytesMax) break;
      result.push(entry);
    }
    return result;
  }

  /**
   * Writes consecutive entries; what was in the log from the first one's index on is cut off before.
   * Durable after `sync`. A full disk throws `DiskError` with `ENOSPC` and leaves the log as it was
   * before the entries; any other error is the end of this log object.
   */
  append(entries: readonly Entry[]): void {
    assert(!this.#isBroken, "a log that failed is not used again");
    const first = must(entries[0], "an append has entries").index;
    assert(first >= this.firstIndex && first <= this.#lastIndex + 1, "an append leaves no gap");
    this.#failing(() => {
      if (first <= this.#lastIndex) this.#truncate(first);
      for (let start = 0; start < entries.length;) start = this.#writeRun(entries, start);
    });
  }

  sync(): void {
    assert(!this.#isBroken, "a log that failed is not used again");
    this.#failing(() => this.#active.file.sync());
    this.#syncedOffset = this.#writeOffset;
  }

  /**
   * Verifies closed segments that the start passed over, one at a call, until all are. Throws
   * `LogDamaged`.
   */
  scrub(): "more" | "done" {
    while (this.#scrubPosition < this.#segments.length - 1) {
      const segment = must(this.#segments[this.#scrubPosition], "it is in range");
      this.#scrubPosition++;
      if (segment.isVerified) continue;
      this.#table(segment);
      return "more";
    }
    return "done";
  }

  close(): void {
    for (const { file } of this.#segments) file.close();
  }

  // ------------------------------------------------------------------ writing

  get #active(): Segment {
    return must(this.#segments[this.#segments.length - 1], "a log has a segment");
  }

  get #activeTable(): SegmentTable {
    return must(this.#active.table, "the last segment's table stays");
  }

  #failing(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof DiskError && error.code === "ENOSPC")) this.#isBroken = true;
      throw error;
    }
  }

  /** Writes as many entries from `start` on as the segment takes; returns where to go on. */
  #writeRun(entries: readonly Entry[], start: number): number {
    const { segmentBytes } = this.#options;
    let end = start;
    let bytes = 0;
    for (; end < entries.length; end++) {
      const size = recordBytes(must(entries[end], "end is in range").data.byteLength);
      const isFirst = this.#writeOffset + bytes === segmentHeaderBytes;
      if (!isFirst && this.#writeOffset + bytes + size > segmentBytes) break;
      bytes += size;
    }
    if (end === start) {
      this.#rotate();
      return start;
    }
    const run = start === 0 && end === entries.length ? entries : entries.slice(start, end);
    const { table, data } = this.#encode(run, bytes);
    this.#preallocate(this.#writeOffset + bytes);
    this.#writeOrCutBack(data);
    const own = this.#activeTable;
    for (let i = 0; i < run.length; i++) {
      const entry = must(run[i], "i is in range");
      own.offsets.push(must(table.offsets[i], "one a record"));
      own.chains.push(must(table.chains[i], "one a record"));
      own.terms.push(entry.term);
      this.#remember(entry);
    }
    this.#writeOffset += bytes;
    own.end = this.#writeOffset;
    this.#lastIndex = must(run[run.length - 1], "a run has entries").index;
    return end;
  }

  #encode(
    run: readonly Entry[],
    bytes: number,
  ): {
    table: { offsets: number[]; chains: number[] };
    data: Uint8Array;
  } {
    if (this.#scratch.byteLength < bytes) this.#scratch = Buffer.alloc(bytes);
    const { header, table: own } = this.#active;
    const { salt } = header;
    let chain = own?.chains[own.chains.length - 1] ?? header.chain;
    let at = 0;
    const offsets: number[] = [];
    const chains: number[] = [];
    for (const entry of run) {
      const offset = this.#writeOffset + at;
      const place = { offset, salt, chain, syncedOffset: this.#syncedOffset };
      chain = encodeRecord(entry, place, { target: this.#scratch, at });
      offsets.push(offset);
      chains.push(chain);
      at += recordBytes(entry.data.byteLength);
    }
    assert(at === bytes, "the records fill what was counted for them");
    return { table: { offsets, chains }, data: this.#scratch.subarray(0, bytes) };
  }

  #preallocate(needed: number): void {
    const { preallocateBytes } = this.#options;
    const { file } = this.#active;
    while (this.#allocated < needed) {
      const target = (Math.floor(this.#allocated / preallocateBytes) + 1) * preallocateBytes;
      try {
        writeFully(file, this.#allocated, this.#zeros.subarray(0, target - this.#allocated));
      } catch (error) {
        // Zeros behind the last record are no harm; how many there are is read again.
        this.#allocated = file.size();
        throw error;
      }
      this.#allocated = target;
    }
  }

  #writeOrCutBack(data: Uint8Array): void {
    const { file } = this.#active;
    try {
      writeFully(file, this.#writeOffset, data);
    } catch (error) {
      if (error instanceof DiskError && error.code === "ENOSPC") {
        // Half a batch must not be taken for records later.
        file.truncate(this.#writeOffset);
        this.#allocated = this.#writeOffset;
      }
      throw error;
    }
  }

  /** The old segment is synced before the new one exists: a successor vouches for all before it. */
  #rotate(): void {
    const { disk, directory, group, drawSalt } = this.#options;
    const old = this.#active;
    old.file.sync();
    this.#syncedOffset = this.#writeOffset;
    const { terms, chains } = this.#activeTable;
    const header: SegmentHeader = {
      group,
      salt: drawSalt(),
      firstIndex: this.#lastIndex + 1,
      previousTerm: must(terms[terms.length - 1], "a full segment has records"),
      chain: must(chains[chains.length - 1], "a full segment has records"),
      previousFirstIndex: old.header.firstIndex,
    };
    const path = `${directory}/${segmentName(header.firstIndex)}`;
    let file: DiskFile;
    try {
      file = createSegment(disk, directory, header);
    } catch (error) {
      if (error instanceof DiskError && error.code === "ENOSPC" && disk.exists(path)) {
        removeSegment(disk, directory, path);
      }
      throw error;
    }
    const table: SegmentTable = { offsets: [], terms: [], chains: [], end: segmentHeaderBytes };
    this.#segments.push({ path, header, file, table, isVerified: true });
    this.#tables.push(old);
    this.#dropOldTables();
    this.#writeOffset = segmentHeaderBytes;
    this.#syncedOffset = segmentHeaderBytes;
    this.#allocated = segmentHeaderBytes;
  }

  /** Takes back everything from `from` on: whole segments newest first, then the rest of one. */
  #truncate(from: Index): void {
    const { disk, directory } = this.#options;
    noteTruncation(disk, directory, from);
    while (this.#active.header.firstIndex > from) {
      const { file, path } = this.#active;
      file.close();
      removeSegment(disk, directory, path);
      this.#segments.pop();
    }
    this.#table(this.#active);
    this.#tables = this.#tables.filter((segment) => segment !== this.#active);
    const { header, file } = this.#active;
    const table = this.#activeTable;
    const kept = from - header.firstIndex;
    const cut = table.offsets[kept] ?? table.end;
    // Cut and synced before anything new is written: an old record must not be found behind it.
    file.truncate(cut);
    file.sync();
    forgetTruncation(disk, directory);
    table.offsets.length = kept;
    table.terms.length = kept;
    table.chains.length = kept;
    table.end = cut;
    this.#writeOffset = cut;
    this.#syncedOffset = cut;
    this.#allocated = cut;
    this.#lastIndex = index(from - 1);
    this.#forget(from);
  }

  /**
   * A torn tail is cut off before anything is written behind it. And whatever was found may still be
   * in memory only, left there by a process that died before its sync: from here on it counts as
   * written, so it is synced now.
   */
  #settle(hasTornTail: boolean): void {
    const { file } = this.#active;
    if (hasTornTail) {
      file.truncate(this.#writeOffset);
      this.#allocated = this.#writeOffset;
    }
    file.sync();
    forgetTruncation(this.#options.disk, this.#options.directory);
  }

  // ------------------------------------------------------------------ reading

  #segmentOf(at: Index): Segment {
    const found = this.#segments.findLast((segment) => segment.header.firstIndex <= at);
    return must(found, "a segment holds the entry");
  }

  /** Verifies the segment where that has not been done. Throws `LogDamaged`. */
  #table(segment: Segment): SegmentTable {
    if (segment.table === null) {
      const next = this.#segments[this.#segments.indexOf(segment) + 1];
      const verified = verify(segment, next);
      if (!verified.ok) throw new LogDamaged(verified.damage);
    }
    if (segment !== this.#active) {
      this.#tables = [...this.#tables.filter((other) => other !== segment), segment];
      this.#dropOldTables();
    }
    return must(segment.table, "it was verified now");
  }

  #dropOldTables(): void {
    while (this.#tables.length > closedTablesMax) {
      const oldest = this.#tables.shift();
      if (oldest) oldest.table = null;
    }
  }

  /** Up to the end of the segment that holds `from`. */
  #readEntries(from: Index, through: Index, bytesMax: number): Entry[] {
    const segment = this.#segmentOf(from);
    const table = this.#table(segment);
    const { firstIndex, chain: firstChain } = segment.header;
    const start = from - firstIndex;
    const last = Math.min(through - firstIndex, table.offsets.length - 1);
    const offsetOf = (position: number): number => table.offsets[position] ?? table.end;
    let end = start + 1;
    while (end <= last && offsetOf(end + 1) - offsetOf(start) <= bytesMax) end++;
    const bytes = Buffer.alloc(offsetOf(end) - offsetOf(start));
    readFully(segment.file, offsetOf(start), bytes);
    const entries: Entry[] = [];
    for (let position = start; position < end; position++) {
      const at = offsetOf(position) - offsetOf(start);
      const header = decodeHeader(bytes, at, segment.header.salt);
      const body = at + recordHeaderBytes;
      const previous =
        position === 0 ? firstChain : must(table.chains[position - 1], "it is there");
      const entry =
        header && decodeBody(header, previous, bytes.subarray(body, body + header.bodyBytes));
      if (entry?.index !== firstIndex + position) {
        const detail = "a record that was whole is not any more";
        throw new LogDamaged({ path: segment.path, offset: offsetOf(position), detail });
      }
      entries.push(entry);
    }
    return entries;
  }

  // ------------------------------------------------------------------ the newest entries in memory

  #cached(at: Index): Entry | undefined {
    const first = this.#cache[this.#cacheStart];
    if (!first || at < first.index) return undefined;
    return this.#cache[this.#cacheStart + at - first.index];
  }

  #remember(entry: Entry): void {
    this.#cache.push(entry);
    this.#cacheBytes += entryBytes(entry);
    while (
      this.#cacheBytes > this.#options.cacheBytes &&
      this.#cacheStart < this.#cache.length - 1
    ) {
      this.#cacheBytes -= entryBytes(must(this.#cache[this.#cacheStart], "it is there"));
      // Given up at once and not when the array is next copied: that may be long after.
      this.#cache[this.#cacheStart] = undefined;
      this.#cacheStart++;
    }
    if (this.#cacheStart > 1024 && this.#cacheStart * 2 > this.#cache.length) {
      this.#cache = this.#cache.slice(this.#cacheStart);
      this.#cacheStart = 0;
    }
  }

  #forget(from: Index): void {
    const first = this.#cache[this.#cacheStart];
    if (!first) return;
    const kept = Math.max(0, from - first.index);
    for (const entry of this.#cache.splice(this.#cacheStart + kept)) {
      this.#cacheBytes -= entryBytes(must(entry, "it is there"));
    }
    if (kept === 0) {
      this.#cache = [];
      this.#cacheStart = 0;
    }
  }
}

// -------------------------------------------------------------------- opening

type OpenSegments =
  | {
      readonly ok: true;
      readonly segments: Segment[];
      /** Where a crash interrupted a truncation; it is finished now. */
      readonly until: number | undefined;
    }
  | { readonly ok: false; readonly damage: LogDamage };

/** Opens every segment by its header; the records are left for later. */
function openSegments(options: Required<RaftLogOptions>): OpenSegments {
  const { disk, directory, group } = options;
  const damaged = (path: string, detail: string): OpenSegments => ({
    ok: false,
    damage: { path, offset: 0, detail },
  });
  const until = notedTruncation(disk, directory) ?? undefined;
  const found = disk
    .list(directory)
    .map(segmentFirstIndex)
    .filter((firstIndex) => firstIndex !== null);
  const firstIndexes = found.filter((firstIndex) => until === undefined || firstIndex <= until);
  for (const cut of found.slice(firstIndexes.length).reverse()) {
    removeSegment(disk, directory, `${directory}/${segmentName(cut)}`);
  }
  if (firstIndexes.length === 0) return damaged(directory, "the log has no files");
  const segments: Segment[] = [];
  for (let i = 0; i < firstIndexes.length; i++) {
    const firstIndex = must(firstIndexes[i], "i is in range");
    const isLast = i === firstIndexes.length - 1;
    const path = `${directory}/${segmentName(firstIndex)}`;
    const file = disk.open(path, "readWrite");
    const start = Buffer.alloc(segmentHeaderBytes);
    const header = decodeSegmentHeader(start.subarray(0, readFully(file, 0, start)));
    if (!header) {
      if (isLast && i > 0 && isHalfCreated(file)) {
        file.close();
        removeSegment(disk, directory, path);
        break;
      }
      return damaged(path, "its header is damaged");
    }
    const previousFirstIndex = segments[i - 1]?.header.firstIndex ?? header.previousFirstIndex;
    if (header.firstIndex !== firstIndex || header.previousFirstIndex !== previousFirstIndex) {
      return damaged(path, "it does not follow the file before it: a file is missing or misnamed");
    }
    if (header.group !== group) return damaged(path, `it belongs to group ${header.group}`);
    segments.push({ path, header, file, table: null, isVerified: false });
  }
  const first = must(segments[0], "there is one");
  if (first.header.previousFirstIndex !== 0)
    return damaged(first.path, "the file before it is missing");
  return { ok: true, segments, until };
}

function removeSegment(disk: Disk, directory: string, path: string): void {
  disk.remove(path);
  disk.syncDirectory(directory);
}

/** A crash came before the header was synced: then there are no records behind it. */
const isHalfCreated = (file: DiskFile): boolean =>
  file.size() <= segmentHeaderBytes || isAllZero(readWhole(file), segmentHeaderBytes);

type Verified =
  | { readonly ok: true; readonly droppedBytes: number }
  | { readonly ok: false; readonly damage: LogDamage };

/** Reads the whole segment, gives it its table, and checks that its successor follows from it. */
function verify(segment: Segment, next: Segment | undefined, until?: number): Verified {
  const { path, header, file } = segment;
  const bytes = readWhole(file);
  const result = scanSegment(bytes, header, next ? undefined : until);
  if (result.kind === "damaged") {
    return { ok: false, damage: { path, offset: result.offset, detail: result.detail } };
  }
  const { table } = result;
  if (next) {
    const follows =
      result.kind === "clean" &&
      next.header.firstIndex === header.firstIndex + table.offsets.length &&
      next.header.chain === (table.chains[table.chains.length - 1] ?? header.chain) &&
      next.header.previousTerm === (table.terms[table.terms.length - 1] ?? header.previousTerm);
    if (!follows) {
      return {
        ok: false,
        damage: { path, offset: table.end, detail: "its last records are missing" },
      };
    }
  }
  segment.table = table;
  segment.isVerified = true;
  return { ok: true, droppedBytes: result.kind === "torn" ? bytes.byteLength - table.end : 0 };
}
