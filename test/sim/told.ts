/** What one watcher was told, held against what was committed: every change once, in order, as it was. */

import type { Row } from "../../server/state-machine/command.ts";
import type { CommittedChange, CommittedChanges } from "./changes.ts";
import { claim } from "./trace.ts";
import type { ToldBefore, ToldChange } from "./watch-readers.ts";

/** A key, or what has all that is named in common. */
export interface WatchedKeys {
  readonly key?: string;
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
}

/** Keys are of ASCII here, of which strings have the order that bytes have. */
export function isAmong({ key, prefix = "", start, end }: WatchedKeys, name: string): boolean {
  if (key !== undefined) return name === key;
  if (!name.startsWith(prefix)) return false;
  // What begins with NUL is nobody's but who names it.
  if (prefix === "" && name.startsWith("\0")) return false;
  return (start === undefined || name >= start) && (end === undefined || name < end);
}

export interface ToldOptions {
  readonly name: string;
  readonly changes: CommittedChanges;
  readonly keys: WatchedKeys;
  readonly wantsBefore: boolean;
}

/** What a node has to know of what stood there before: its own history, and what it was asked for since. */
export interface KnownBefore {
  /** Every row that was written behind this revision is known to it. */
  readonly writtenAfter: number;
  /** Behind this one every row is that has gone or was written over. */
  readonly changedAfter: number;
}

export class Told {
  readonly #options: ToldOptions;
  /** All changes up to here were told, or lie before the beginning; null: that is not known yet. */
  #reached: number | null;
  /** The revision that is being told, and of which keys it was. */
  #partial: { readonly revision: number; readonly keys: Set<string> } | null = null;
  /** What was acknowledged before the watch that begins with "now" was asked for. */
  #acknowledged = 0;

  constructor(options: ToldOptions, since: number | undefined) {
    this.#options = options;
    this.#reached = since ?? null;
  }

  /** It asks for what comes from now on, and this was acknowledged before. */
  asksFromNow(acknowledged: number): void {
    this.#acknowledged = acknowledged;
  }

  /** It has seen the state of that revision as a whole. */
  listed(revision: number): void {
    const reached = this.#reached ?? 0;
    this.#claim(revision >= reached, () => `lists ${revision}, and had come to ${reached}`);
    this.#partial = null;
    this.#reached = revision;
  }

  /** What it was told of a revision that is not whole will be told again. */
  forgetPartial(): void {
    this.#partial = null;
  }

  get isInRevision(): boolean {
    return this.#partial !== null;
  }

  change(change: ToldChange, known: KnownBefore): void {
    const { revision, key } = change;
    const reached = this.#reached;
    this.#claim(reached !== null, () => `is told of ${revision} before it is told since when`);
    this.#claim(
      revision > (reached ?? 0),
      () => `is told of ${key} at ${revision}, and had come to ${reached}`,
    );
    if (this.#partial?.revision !== revision) {
      this.upTo(revision - 1);
      this.#partial = { revision, keys: new Set() };
    }
    const { keys } = this.#partial;
    this.#claim(!keys.has(key), () => `is told twice of ${key} at ${revision}`);
    keys.add(key);
    const committed = this.#committed(revision).find((each) => each.key === key);
    this.#compare(change, committed, known);
  }

  /** It takes all changes up to `revision` for told. */
  upTo(revision: number): void {
    if (this.#reached === null) {
      const acknowledged = this.#acknowledged;
      this.#claim(
        revision >= acknowledged,
        () => `begins behind ${revision}; ${acknowledged} was acknowledged before it asked`,
      );
      this.#reached = revision;
    }
    for (let at = this.#reached + 1; at <= revision; at++) {
      const isPartial = this.#partial?.revision === at;
      const missing = this.#committed(at).find(
        ({ key }) => !isPartial || this.#partial?.keys.has(key) !== true,
      );
      this.#claim(missing === undefined, () => `is not told of ${missing?.key} at ${at}`);
      if (isPartial) this.#partial = null;
      this.#reached = at;
    }
  }

  #committed(revision: number): readonly CommittedChange[] {
    const { changes, keys } = this.#options;
    this.#claim(changes.has(revision), () => `is told of ${revision}, which nobody has applied`);
    return changes.of(revision).filter(({ key }) => isAmong(keys, key));
  }

  #compare(told: ToldChange, committed: CommittedChange | undefined, known: KnownBefore): void {
    const { key, revision, type, value, before } = told;
    this.#claim(committed !== undefined, () => `is told of ${key} at ${revision}, which is not so`);
    this.#claim(
      committed.type === type &&
        isSame(value, committed.after?.value ?? null) &&
        told.contentType === (committed.after?.contentType ?? null),
      () => `is told that ${key} is another at ${revision} than it is`,
    );
    if (!this.#options.wantsBefore) return;
    this.#claim(
      isSameBefore(before, committed.before),
      () => `is told that ${key} was another before ${revision} than it was`,
    );
    this.#claim(
      before?.value !== null ||
        (before.revision <= known.writtenAfter && revision <= known.changedAfter),
      () => `is not told what ${key} was before ${revision}, which its node has to know`,
    );
  }

  #claim(condition: boolean, text: () => string): asserts condition {
    claim(condition, () => `${this.#options.name} ${text().replaceAll("\0", "\\0")}`);
  }
}

function isSameBefore(told: ToldBefore | null, row: Row | null): boolean {
  if (told === null || row === null) return told === row;
  if (told.revision !== row.revision || told.createRevision !== row.createRevision) return false;
  if (told.value === null) return told.contentType === null;
  return isSame(told.value, row.value) && told.contentType === row.contentType;
}

const isSame = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
