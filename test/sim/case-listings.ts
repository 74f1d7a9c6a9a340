/**
 * Listings and counts of many keys, held against the rows as they were committed: exactly those of the
 * range, in the order and with the cuts that were asked for.
 */

import type {
  CountAnswer,
  ListAnswer,
  ListOptions,
  ReadOptions,
  Selection,
} from "../../server/client-port.ts";
import type { Row } from "../../server/state-machine/command.ts";
import type { Asking } from "./caller.ts";
import { caseKeys } from "./case-keys.ts";
import type { CaseJudge, Seen } from "./case-judge.ts";
import { byBytes, inOrder, isHiddenKey, shown, withoutTtl } from "./case-rows.ts";
import type { Life } from "./process.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

type Listed = Extract<ListAnswer, { readonly ok: true }>;
type Page = Pick<Listed, "rows" | "prefixes" | "more" | "last">;

const prefixes = ["case-", "case-", "case-a", "case-a/", "case-b", "nobody-", ""];
const delimiters = ["/", "/", "-", "/b", "a"];
const limits = [1, 2, 3, 5];

/** One row, or what the keys of a group begin with. */
type Item = { readonly at: string; readonly row: Row | null };

export class CaseListings {
  readonly #world: SimWorld;
  readonly #judge: CaseJudge;
  readonly #shown: WeakMap<Life, number>;
  /** By caller: a listing that has not come to its end. */
  readonly #begun = new Map<number, ListOptions>();

  constructor(world: SimWorld, judge: CaseJudge, shownBy: WeakMap<Life, number>) {
    this.#world = world;
    this.#judge = judge;
    this.#shown = shownBy;
  }

  list(caller: number): Asking {
    const { random, coverage } = this.#world;
    const begun = this.#begun.get(caller);
    const isNext = begun !== undefined && random.float() < 0.7;
    const options = isNext ? { ...begun, ...this.#level() } : this.#options();
    if (isNext) coverage.add("a listing goes on");
    return {
      name: "list",
      ask: async (store) => {
        const answer = await store.list(options);
        return (seen) => this.#listed(caller, { options, answer, seen });
      },
    };
  }

  count(): Asking {
    const options = { ...this.#selection(), ...this.#level() };
    return {
      name: "count",
      ask: async (store) => {
        const answer = await store.count(options);
        return (seen) => this.#counted(options, answer, seen);
      },
    };
  }

  // ------------------------------------------------------------------ what is asked

  #level(): ReadOptions {
    const { random, checks } = this.#world;
    const level = random.pick(["linearizable", "linearizable", "local"] as const);
    const minRevision = checks.lastAcknowledged;
    return random.float() < 0.2 ? { level, minRevision } : { level };
  }

  #selection(): Selection {
    const { random } = this.#world;
    const prefix = random.pick(prefixes);
    const start = random.float() < 0.25 ? random.pick(caseKeys) : undefined;
    const end = random.float() < 0.25 ? random.pick(caseKeys) : undefined;
    return { prefix, ...(start && { start }), ...(end && { end }) };
  }

  #options(): ListOptions {
    const { random } = this.#world;
    const limit = random.float() < 0.7 ? random.pick(limits) : undefined;
    const delimiter = random.float() < 0.5 ? random.pick(delimiters) : undefined;
    const after = random.float() < 0.15 ? random.pick(caseKeys) : undefined;
    return {
      ...this.#selection(),
      ...this.#level(),
      reverse: random.float() < 0.4,
      keysOnly: random.float() < 0.3,
      ...(limit && { limit }),
      ...(delimiter && { delimiter }),
      ...(after && { after }),
    };
  }

  // ------------------------------------------------------------------ what is answered

  #listed(
    caller: number,
    about: { readonly options: ListOptions; readonly answer: ListAnswer; readonly seen: Seen },
  ): void {
    const { options, answer, seen } = about;
    this.#begun.delete(caller);
    if (!answer.ok) return this.#refused("a listing", answer);
    const { revision, rows: given, prefixes: groups, more, last } = answer;
    const what = `node ${seen.process.id} lists ${shown(options)} at ${revision}`;
    this.#checkState(what, { options, answer, seen });
    const { listBytesMax: bytesMax } = this.#world.options.limits;
    const expected = pageOf(this.#rowsAt(revision, options), { ...options, bytesMax });
    if (expected.isFull) this.#world.coverage.add("a listing: as many bytes as it may have");
    const page = { rows: given.map((row) => withoutTtl(row)), prefixes: groups, more, last };
    claim(
      shown(page) === shown(expected.page),
      () => `${what} as ${shown(page)}, and it is ${shown(expected.page)}`,
    );
    this.#cover(options, answer);
    if (more) this.#begun.set(caller, { ...options, after: last });
  }

  #cover({ level, reverse, keysOnly }: ListOptions, answer: Listed): void {
    const { coverage } = this.#world;
    const isSome = answer.rows.length > 1;
    if (isSome) coverage.add(`a listing: ${level}`);
    if (isSome && reverse === true) coverage.add("a listing: reverse");
    if (isSome && keysOnly === true) coverage.add("a listing: keys only");
    if (answer.prefixes.length > 0) coverage.add("a listing: groups");
  }

  #counted(options: Selection & ReadOptions, answer: CountAnswer, seen: Seen): void {
    if (!answer.ok) return this.#refused("a count", answer);
    const { revision, count } = answer;
    const what = `node ${seen.process.id} counts ${shown(options)} at ${revision}`;
    this.#checkState(what, { options, answer, seen });
    const { most, least } = this.#countsSince(revision, options);
    claim(
      least <= count && count <= most,
      () => `${what} as ${count}, and there are ${least}, or ${most} with what came and went`,
    );
    if (least === most) this.#world.coverage.add("a count: exact");
    if (count > 1) this.#world.coverage.add(`a count: ${options.level}`);
  }

  /** Of more rows than are counted at once, those written meanwhile may or may not be in it. */
  #countsSince(revision: number, options: Selection): { most: number; least: number } {
    const { checks, options: all } = this.#world;
    const there = new Set(this.#rowsAt(revision, options).map(({ key }) => key));
    const counts = { most: there.size, least: there.size };
    if (there.size <= all.limits.countRowsMax) return counts;
    const changed = new Set(this.#judge.changedSince(revision, checks.lastCommitted));
    const isMaybe = (key: string): boolean => isSelected(key, options) && changed.has(key);
    counts.least -= [...there].filter(isMaybe).length;
    counts.most += [...changed].filter((key) => isSelected(key, options) && !there.has(key)).length;
    return counts;
  }

  #refused(
    what: string,
    { code, detail }: { readonly code: string; readonly detail: string },
  ): void {
    this.#world.coverage.add(`${what} was refused`);
    claim(readRefusals.has(code), () => `${what} is refused with ${code}: ${detail}`);
  }

  #checkState(
    what: string,
    about: {
      readonly options: ReadOptions;
      readonly answer: Pick<Listed, "revision" | "level">;
      readonly seen: Seen;
    },
  ): void {
    const { options, answer, seen } = about;
    const { lastCommitted } = this.#world.checks;
    const { revision } = answer;
    const isLocal = options.level === "local";
    claim(answer.level === options.level, () => `${what} by ${answer.level}`);
    claim(revision <= lastCommitted, () => `${what}, and ${lastCommitted} is committed`);
    const least = Math.max(options.minRevision ?? 0, isLocal ? seen.floor : seen.acknowledged);
    claim(revision >= least, () => `${what}, and is to show ${least} at the least`);
    const before = this.#shown.get(seen.life) ?? 0;
    this.#shown.set(seen.life, Math.max(before, revision));
  }

  #rowsAt(revision: number, selection: Selection): Row[] {
    return inOrder(this.#judge.at(revision).rows((key) => isSelected(key, selection)));
  }
}

const readRefusals = new Set(["no_leader", "stale", "timeout", "overloaded"]);

function isSelected(key: string, { prefix = "", start, end }: Selection): boolean {
  if (isHiddenKey(key) || !key.startsWith(prefix)) return false;
  if (start !== undefined && byBytes(key, start) < 0) return false;
  return end === undefined || byBytes(key, end) < 0;
}

/** What a listing shows of the rows of its range, which are in order. */
function pageOf(
  rows: readonly Row[],
  options: ListOptions & { readonly bytesMax: number },
): { readonly page: Page; readonly isFull: boolean } {
  const { limit = 1_000, reverse = false, after = null, keysOnly = false, bytesMax } = options;
  const items = itemsOf(reverse ? rows.toReversed() : rows, options);
  const left = after === null ? items : items.filter(isBehind(after, options));
  const fitting = countWithin(bytesMax, left, keysOnly);
  const given = left.slice(0, Math.min(limit, fitting));
  const page = {
    rows: given.flatMap(({ row }) => (row === null ? [] : [shownRow(row, keysOnly)])),
    prefixes: given.flatMap(({ at, row }) => (row === null ? [at] : [])),
    more: left.length > given.length,
    last: given.at(-1)?.at ?? null,
  };
  return { page, isFull: given.length < Math.min(limit, left.length) };
}

/** Keys and values of rows, of which the first is given however large it is. */
function countWithin(bytesMax: number, items: readonly Item[], keysOnly: boolean): number {
  let bytes = 0;
  let rows = 0;
  for (const [i, { row }] of items.entries()) {
    if (row === null) continue;
    bytes += Buffer.byteLength(row.key) + (keysOnly ? 0 : row.value.byteLength);
    if (rows > 0 && bytes > bytesMax) return i;
    rows++;
  }
  return items.length;
}

const shownRow = (row: Row, keysOnly: boolean): Row =>
  keysOnly ? { ...row, value: new Uint8Array() } : row;

function itemsOf(rows: readonly Row[], options: ListOptions): Item[] {
  const items: Item[] = [];
  for (const row of rows) {
    const group = groupOf(row.key, options);
    if (group === null) items.push({ at: row.key, row });
    else if (!items.some(({ at }) => at === group)) items.push({ at: group, row: null });
  }
  return items;
}

function groupOf(key: string, { prefix = "", delimiter }: ListOptions): string | null {
  if (delimiter === undefined || !key.startsWith(prefix)) return null;
  const [first, ...others] = key.slice(prefix.length).split(delimiter);
  return others.length === 0 ? null : `${prefix}${first}${delimiter}`;
}

/** Whoever goes on behind a key of a group has been given the group. */
function isBehind(after: string, options: ListOptions): (item: Item) => boolean {
  const group = groupOf(after, options);
  const sign = options.reverse === true ? -1 : 1;
  return ({ at }) => at !== group && sign * byBytes(at, after) > 0;
}
