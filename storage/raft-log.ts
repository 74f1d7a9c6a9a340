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
import { isFullDisk, readFully, type Disk, type DiskFile } from "./disk.ts";
import { EntryCache } from "./entry-cache.ts";
import { GrowingFile } from "./growing-file.ts";
import { LogDamaged, type LogDamage } from "./log-damage.ts";
import { openSegments, rewriteUnvouched, verify, type Segment } from "./log-recovery.ts";
import { recordBytes } from "./record.ts";
import { decodeRun, encodeRun, type EncodedRun } from "./record-run.ts";
import {
  createSegment,
  removeSegment,
  segmentHeaderBytes,
  segmentName,
  type SegmentHeader,
} from "./segment.ts";
import { forgetReset, notedReset, noteReset, replaceSegments, type LogBase } from "./log-reset.ts";
import { emptyTable, type SegmentTable } from "./segment-scan.ts";
import { forgetTruncation, noteTruncation } from "./truncation.ts";

export interface RaftLogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly group: number;
  /** A random 32-bit number for each new segment. */
  readonly drawSalt: () => number;
  /** A segment is closed before it grows beyond this: compaction drops whole ones. Default 4 MiB. */
  readonly segmentBytes?: number;
  /** The same, in entries. Default 65,536. */
  readonly segmentEntries?: number;
  /** Steps in which zeros are written ahead of short appends. Default 1 MiB. */
  readonly preallocateBytes?: number;
  /** Entry bytes kept in memory, newest first, in 10,000 entries at the most. Default 8 MiB. */
  readonly cacheBytes?: number;
  /**
   * Entries from here on are needed at once: their segments are verified at the start. All before were
   * acknowledged, so a log that ends earlier has lost some, and is damaged.
   */
  readonly replayFrom: Index;
  /** Verifies everything at the start. Default: no. */
  readonly verifiesAll?: boolean;
}

export type OpenLogResult =
  | { readonly ok: true; readonly log: RaftLog; readonly droppedBytes: number }
  | { readonly ok: false; readonly damage: LogDamage };

const defaults = {
  segmentBytes: 4 << 20,
  segmentEntries: 1 << 16,
  preallocateBytes: 1 << 20,
  cacheBytes: 8 << 20,
  verifiesAll: false,
};

/** Closed segments kept open, with their tables: followers that lag read one place after the other. */
const closedTablesMax = 2;

interface ReadLimits {
  readonly through: Index;
  readonly bytesMax: number;
  /** One entry is given however large it is. */
  readonly isFirst: boolean;
}

function closeSegment(segment: Segment): void {
  segment.table = null;
  segment.file?.close();
  segment.file = null;
}

/** The state machine has switched to a snapshot, and a crash came before the log could follow. */
function finishReset(options: Required<RaftLogOptions>): void {
  const { disk, directory, replayFrom } = options;
  const base = notedReset(disk, directory);
  // With the old state in place, the old log is whole and goes on.
  if (base?.lastIndex === replayFrom - 1) replaceSegments(options, base).file.close();
  forgetReset(disk, directory);
}

/** Invariant: segments are contiguous; the last one is the only one that is written to. */
export class RaftLog implements LogReader {
  readonly #options: Required<RaftLogOptions>;
  #segments: Segment[];
  readonly #growing: GrowingFile;
  #scratch = Buffer.alloc(256 << 10);
  readonly #cache: EntryCache;
  #lastIndex: Index;
  /** Behind the last record written, and behind the last one synced, of the last segment. */
  #writeOffset: number;
  #syncedOffset: number;
  #tables: Segment[] = [];
  #scrubPosition = 0;
  /** A write or sync failed: the file's state is unknown, and nothing may be promised about it. */
  #isBroken = false;

  private constructor(options: Required<RaftLogOptions>, segments: Segment[]) {
    this.#options = options;
    this.#segments = segments;
    this.#cache = new EntryCache(options.cacheBytes);
    const { header, table } = this.#active;
    const { offsets, end } = must(table, "the last segment was scanned");
    this.#lastIndex = index(header.firstIndex + offsets.length - 1);
    this.#writeOffset = end;
    this.#syncedOffset = end;
    this.#growing = new GrowingFile(options.preallocateBytes, this.#activeFile.size());
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
    const { disk } = options;
    finishReset(options);
    const opened = openSegments(options);
    if (!opened.ok) return opened;
    const { segments, halfMade, until } = opened;
    let droppedBytes = 0;
    for (let i = 0; i < segments.length; i++) {
      const segment = must(segments[i], "i is in range");
      const next = segments[i + 1];
      const isNeeded = next === undefined || next.header.firstIndex > options.replayFrom;
      if (!isNeeded && !options.verifiesAll) continue;
      segment.file = disk.open(segment.path, "readWrite");
      const verified = verify(segment, next ?? halfMade ?? undefined, until);
      if (!verified.ok) {
        for (const { file } of segments) file?.close();
        return verified;
      }
      droppedBytes += verified.droppedBytes;
      if (!isNeeded) closeSegment(segment);
    }
    const log = new RaftLog(options, segments);
    if (log.lastIndex + 1 < options.replayFrom) {
      const { path, header } = log.#active;
      const known = options.replayFrom - 1;
      const detail = `it ends at entry ${log.lastIndex}, but entry ${known} is already applied`;
      const firstLost = log.lastIndex + 1;
      log.close();
      const place = { offset: log.#writeOffset, segment: header.firstIndex, firstLost };
      return { ok: false, damage: { path, detail, ...place } };
    }
    // Only now are files changed. While it stands, the one before it is known to be synced as a whole.
    if (halfMade !== null) disk.remove(halfMade.path);
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
    const cached = this.#cache.get(at);
    if (cached) return cached.term;
    const { header } = must(this.#segments[0], "a log has a segment");
    if (at === header.firstIndex - 1) return term(header.previousTerm);
    const segment = this.#segmentOf(at);
    return term(must(this.#table(segment).terms[at - segment.header.firstIndex], "it is there"));
  }

  entries(from: Index, through: Index, bytesMax: number): Entry[] {
    assert(from >= this.firstIndex && through <= this.#lastIndex, "the entries are in the log");
    assert(from <= through, "at least one entry is asked for");
    const result: Entry[] = [];
    let left = bytesMax;
    let at = from;
    while (at <= through) {
      const isCached = this.#cache.get(at) !== undefined;
      const limits = { through, bytesMax: left, isFirst: result.length === 0 };
      const part = isCached ? this.#recall(at, limits) : this.#readEntries(at, limits);
      if (part.length === 0) break;
      for (const entry of part) {
        left -= entryBytes(entry);
        result.push(entry);
      }
      at = index(at + part.length);
    }
    return result;
  }

  /**
   * Writes consecutive entries; what was in the log from the first one's index on is cut off before.
   * Durable after `sync`. "full": the disk has no room; the log is usable and without any of the
   * entries, on the disk too. What it throws is the end of this log object.
   */
  append(entries: readonly Entry[]): "written" | "full" {
    assert(!this.#isBroken, "a log that failed is not used again");
    const first = must(entries[0], "an append has entries").index;
    assert(first >= this.firstIndex && first <= this.#lastIndex + 1, "an append leaves no gap");
    return this.#ending(() => {
      let kept = this.#lastIndex;
      try {
        if (first <= kept) this.#truncate(first);
        kept = index(first - 1);
        for (let start = 0; start < entries.length;) start = this.#writeRun(entries, start);
      } catch (error) {
        if (!isFullDisk(error)) throw error;
        // Synced too: what was refused must not be found, and replicated, after a crash.
        this.#verifyBefore(index(kept + 1));
        this.#cutBack(index(kept + 1));
        return "full";
      }
      return "written";
    });
  }

  sync(): void {
    assert(!this.#isBroken, "a log that failed is not used again");
    this.#ending(() => {
      this.#activeFile.sync();
    });
    this.#syncedOffset = this.#writeOffset;
  }

  /**
   * Drops the oldest segments that hold nothing behind `through`; the last one stays. Only what the
   * state machine holds durably may go.
   */
  compact(through: Index): void {
    assert(!this.#isBroken, "a log that failed is not used again");
    const { disk, directory } = this.#options;
    while (this.#oldestEnd <= through) {
      const oldest = must(this.#segments[0], "there is one");
      oldest.file?.close();
      // Each durably gone before the next: what a crash leaves is a log without a hole.
      this.#ending(() => {
        removeSegment(disk, directory, oldest.path);
      });
      this.#segments.shift();
      this.#tables = this.#tables.filter((segment) => segment !== oldest);
      this.#scrubPosition = Math.max(0, this.#scrubPosition - 1);
    }
  }

  /** Bytes of all files. */
  get bytes(): number {
    let bytes = this.#growing.bytes;
    for (let i = 0; i < this.#segments.length - 1; i++) {
      bytes += must(this.#segments[i], "i is in range").bytes;
    }
    return bytes;
  }

  /** What has to go, up to this entry, for the rest to fit into `bytesMax`. */
  lastBeyond(bytesMax: number): Index {
    let { bytes } = this;
    let last = this.firstIndex - 1;
    for (let i = 0; i < this.#segments.length - 1 && bytes > bytesMax; i++) {
      bytes -= must(this.#segments[i], "i is in range").bytes;
      last = must(this.#segments[i + 1], "it is not the last").header.firstIndex - 1;
    }
    return index(last);
  }

  /**
   * A snapshot is going to take the place of everything here: durable when it returns. The state
   * machine's switch follows, and then `reset`; a crash before the switch leaves this log as it is.
   */
  prepareReset(base: LogBase): void {
    assert(!this.#isBroken, "a log that failed is not used again");
    const { disk, directory } = this.#options;
    this.#ending(() => {
      forgetReset(disk, directory);
      noteReset(disk, directory, base);
    });
  }

  /** Drops every entry; the log goes on behind `base`, which `prepareReset` was given. */
  reset(base: LogBase): void {
    assert(!this.#isBroken, "a log that failed is not used again");
    const { disk, directory } = this.#options;
    this.close();
    this.#ending(() => {
      const { header, file } = replaceSegments(this.#options, base);
      forgetReset(disk, directory);
      const path = `${directory}/${segmentName(header.firstIndex)}`;
      const table = emptyTable();
      const bytes = segmentHeaderBytes;
      this.#segments = [{ path, header, file, table, isVerified: true, bytes }];
    });
    this.#tables = [];
    this.#scrubPosition = 0;
    this.#cache.truncate(index(0));
    this.#lastIndex = base.lastIndex;
    this.#startSegment();
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
    for (const { file } of this.#segments) file?.close();
  }

  // ------------------------------------------------------------------ writing

  /** The last entry of the oldest segment; that of the segment being written never comes. */
  get #oldestEnd(): number {
    const next = this.#segments[1];
    return next ? next.header.firstIndex - 1 : Infinity;
  }

  get #active(): Segment {
    return must(this.#segments[this.#segments.length - 1], "a log has a segment");
  }

  get #activeFile(): DiskFile {
    return must(this.#active.file, "the last segment stays open");
  }

  get #activeTable(): SegmentTable {
    return must(this.#active.table, "the last segment's table stays");
  }

  /** What `run` throws is the end of this log. */
  #ending<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      this.#isBroken = true;
      throw error;
    }
  }

  /** Writes as many entries from `start` on as the segment takes; returns where to go on. */
  #writeRun(entries: readonly Entry[], start: number): number {
    const { segmentBytes, segmentEntries } = this.#options;
    const held = this.#activeTable.offsets.length;
    let end = start;
    let bytes = 0;
    for (; end < entries.length; end++) {
      const size = recordBytes(must(entries[end], "end is in range").data.byteLength);
      const isFirst = this.#writeOffset + bytes === segmentHeaderBytes;
      if (!isFirst && this.#writeOffset + bytes + size > segmentBytes) break;
      if (held + end - start >= segmentEntries) break;
      bytes += size;
    }
    if (end === start) {
      this.#rotate();
      return start;
    }
    const run = start === 0 && end === entries.length ? entries : entries.slice(start, end);
    const { table, data } = this.#encode(run, bytes);
    this.#growing.append(this.#activeFile, this.#writeOffset, data);
    const own = this.#activeTable;
    for (let i = 0; i < run.length; i++) {
      const entry = must(run[i], "i is in range");
      own.offsets.push(must(table.offsets[i], "one a record"));
      own.chains.push(must(table.chains[i], "one a record"));
      own.terms.push(entry.term);
      this.#cache.push(entry);
    }
    this.#writeOffset += bytes;
    own.end = this.#writeOffset;
    this.#lastIndex = must(run[run.length - 1], "a run has entries").index;
    return end;
  }

  #encode(run: readonly Entry[], bytes: number): { table: EncodedRun; data: Uint8Array } {
    if (this.#scratch.byteLength < bytes) this.#scratch = Buffer.alloc(bytes);
    const { header, table: own } = this.#active;
    const place = {
      offset: this.#writeOffset,
      salt: header.salt,
      chain: own?.chains[own.chains.length - 1] ?? header.chain,
      syncedOffset: this.#syncedOffset,
    };
    const table = encodeRun(run, place, this.#scratch);
    return { table, data: this.#scratch.subarray(0, bytes) };
  }

  /** The old segment is synced before the new one exists: a successor vouches for all before it. */
  #rotate(): void {
    const { disk, directory, group, drawSalt } = this.#options;
    const old = this.#active;
    this.#activeFile.sync();
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
      if (isFullDisk(error) && disk.exists(path)) removeSegment(disk, directory, path);
      throw error;
    }
    const table = emptyTable();
    old.bytes = this.#growing.bytes;
    this.#segments.push({ path, header, file, table, isVerified: true, bytes: segmentHeaderBytes });
    this.#tables.push(old);
    this.#closeOldTables();
    this.#startSegment();
  }

  /** The last segment is new and empty. */
  #startSegment(): void {
    this.#writeOffset = segmentHeaderBytes;
    this.#syncedOffset = segmentHeaderBytes;
    this.#growing.bytes = segmentHeaderBytes;
  }

  /** Takes back what conflicts with a leader's log. It was synced, so the cut is noted before. */
  #truncate(from: Index): void {
    const { disk, directory } = this.#options;
    this.#verifyBefore(from);
    noteTruncation(disk, directory, from);
    this.#cutBack(from);
    forgetTruncation(disk, directory);
  }

  /**
   * What is cut off may be all that shows that the record before it never reached its place: a log
   * without both would look whole, and shorter. Throws `LogDamaged`.
   */
  #verifyBefore(from: Index): void {
    const last = index(from - 1);
    if (last < this.firstIndex) return;
    this.#readEntries(last, { through: last, bytesMax: 0, isFirst: true });
  }

  /** Removes everything from `from` on: whole segments newest first, then the rest of one. */
  #cutBack(from: Index): void {
    const { disk, directory } = this.#options;
    while (this.#active.header.firstIndex > from) {
      const { file, path } = this.#active;
      file?.close();
      removeSegment(disk, directory, path);
      this.#segments.pop();
    }
    const table = this.#table(this.#active);
    this.#tables = this.#tables.filter((segment) => segment !== this.#active);
    const kept = from - this.#active.header.firstIndex;
    const cut = table.offsets[kept] ?? table.end;
    // Cut and synced before anything new is written: an old record must not be found behind it.
    this.#cutFile(cut);
    table.offsets.length = kept;
    table.terms.length = kept;
    table.chains.length = kept;
    table.end = cut;
    this.#writeOffset = cut;
    this.#syncedOffset = cut;
    this.#lastIndex = index(from - 1);
    this.#cache.truncate(from);
  }

  #cutFile(bytes: number): void {
    this.#activeFile.truncate(bytes);
    this.#activeFile.sync();
    this.#growing.bytes = bytes;
  }

  /**
   * A torn tail is cut off before anything is written behind it. And whatever was found, and which
   * files are there or gone, may still be in memory only, left so by a process that died before its
   * sync: from here on it counts, so it is written again and synced now.
   */
  #settle(hasTornTail: boolean): void {
    const { disk, directory } = this.#options;
    rewriteUnvouched(this.#active);
    if (hasTornTail) this.#cutFile(this.#writeOffset);
    else this.#activeFile.sync();
    forgetTruncation(disk, directory);
    disk.syncDirectory(directory);
  }

  // ------------------------------------------------------------------ reading

  #segmentOf(at: Index): Segment {
    const found = this.#segments.findLast((segment) => segment.header.firstIndex <= at);
    return must(found, "a segment holds the entry");
  }

  /** Opens and verifies the segment where that has not been done. Throws `LogDamaged`. */
  #table(segment: Segment): SegmentTable {
    segment.file ??= this.#options.disk.open(segment.path, "readWrite");
    if (segment.table === null) {
      const next = this.#segments[this.#segments.indexOf(segment) + 1];
      const verified = verify(segment, next);
      if (!verified.ok) throw new LogDamaged(verified.damage);
    }
    if (segment !== this.#active) {
      this.#tables = [...this.#tables.filter((other) => other !== segment), segment];
      this.#closeOldTables();
    }
    return must(segment.table, "it was verified now");
  }

  #closeOldTables(): void {
    while (this.#tables.length > closedTablesMax) {
      closeSegment(must(this.#tables.shift(), "there is one"));
    }
  }

  #recall(from: Index, { through, bytesMax, isFirst }: ReadLimits): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let at = from; at <= through; at = index(at + 1)) {
      const entry = must(this.#cache.get(at), "the cache reaches to the end");
      bytes += entryBytes(entry);
      if (bytes > bytesMax && !(isFirst && at === from)) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Up to the end of the segment that holds `from`. */
  #readEntries(from: Index, { through, bytesMax, isFirst }: ReadLimits): Entry[] {
    const segment = this.#segmentOf(from);
    const table = this.#table(segment);
    const { firstIndex, chain: firstChain, salt } = segment.header;
    const start = from - firstIndex;
    const last = Math.min(through - firstIndex, table.offsets.length - 1);
    const offsetOf = (position: number): number => table.offsets[position] ?? table.end;
    let end = isFirst ? start + 1 : start;
    while (end <= last && offsetOf(end + 1) - offsetOf(start) <= bytesMax) end++;
    const bytes = Buffer.alloc(offsetOf(end) - offsetOf(start));
    readFully(must(segment.file, "it is open with its table"), offsetOf(start), bytes);
    const chains: number[] = [];
    for (let position = start; position < end; position++) {
      chains.push(position === 0 ? firstChain : must(table.chains[position - 1], "it is there"));
    }
    const run = { firstIndex: from, salt, chains };
    const { entries, damagedAt } = decodeRun(bytes, run);
    if (damagedAt !== null) {
      const detail = "a record that was whole is not any more";
      const offset = offsetOf(start) + damagedAt;
      const firstLost = from + entries.length;
      const place = { offset, segment: firstIndex, firstLost };
      throw new LogDamaged({ path: segment.path, detail, ...place });
    }
    return entries;
  }
}
