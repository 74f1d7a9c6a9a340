/** Changes as they come, over as many connections as it takes, each of them once and in order. */

import type { Asker } from "./asker.ts";
import { strictTextOf, textOf } from "./bytes.ts";
import { entryOfJson, isJsonRow, valueOfJson, type Entry, type JsonRow } from "./entry.ts";
import { KvError, objectIn } from "./error.ts";
import { pause } from "./time.ts";

export type WatchSelection = (
  | { readonly key: string }
  | { readonly prefix?: string; readonly start?: string; readonly end?: string }
) & {
  /** Begins behind this revision; without it, with what happens from now on. */
  readonly since?: number;
  /** Whether to be told what was there before. */
  readonly prev?: boolean;
};

/** Something new comes, or word that nothing has, every five seconds; after this long it is lost. */
const silenceMs = 15_000;
/** Between two connections. */
const pauseMs = 200;
/** Of the largest value, escaped as badly as can be, with another before it. */
const lineCharactersMax = 32 << 20;

export class Change {
  readonly type: "put" | "delete" | "expire";
  readonly key: string;
  /** Of a `put`. */
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  readonly contentType: string | undefined;
  /** Where it was asked for, and there was something. */
  readonly prev: Entry | undefined;

  constructor(json: ChangeJson) {
    const { type, key, revision, contentType, prev } = json;
    this.type = type;
    this.key = key;
    this.value = type === "put" ? valueOfJson(json) : undefined;
    this.revision = revision;
    this.contentType = contentType;
    this.prev = isJsonRow(prev) ? entryOfJson(prev) : undefined;
  }

  /** Empty where there is no value. */
  text(): string {
    return this.value === undefined ? "" : textOf(this.value);
  }

  /** Throws where there is no value, or one that is no JSON. */
  json(): unknown {
    return JSON.parse(strictTextOf(this.value ?? new Uint8Array()));
  }
}

interface ChangeJson extends JsonRow {
  readonly type: "put" | "delete" | "expire";
  readonly prev?: unknown;
  /** No more changes of this revision follow. */
  readonly last?: boolean;
}

/**
 * Ends by itself only with an error: `compacted` where what lies behind `since` is gone, `aborted` when
 * `signal` or the client ends it. Breaking out of the loop over it closes its connection.
 */
export async function* watch(
  asker: Asker,
  selection: WatchSelection,
  signals: readonly AbortSignal[],
): AsyncGenerator<Change, never> {
  const place = new Place(selection.since);
  const wholeSignal = AbortSignal.any([...signals]);
  for (let isFirst = true; ; isFirst = false) {
    const given = new AbortController();
    place.begin();
    try {
      const signal = AbortSignal.any([wholeSignal, given.signal]);
      for await (const line of linesOf(asker, pathOf(selection, place), { signal, given })) {
        const change = place.next(objectIn(line));
        if (change !== null) yield new Change(change);
      }
    } catch (error) {
      if (wholeSignal.aborted) throw ended(wholeSignal);
      if (!mayResume(error, isFirst && place.revision === selection.since)) throw error;
    } finally {
      given.abort();
    }
    await pause(pauseMs * (0.5 + Math.random()), wholeSignal);
    if (wholeSignal.aborted) throw ended(wholeSignal);
  }
}

const ended = ({ reason }: AbortSignal): KvError =>
  new KvError("aborted", "the watch was given up", { cause: reason });

/** What keeps a first connection from coming about is told; a later one is tried for without end. */
function mayResume(error: unknown, isFirst: boolean): boolean {
  if (!KvError.is(error)) return true;
  const { code, field } = error;
  if (code === "compacted") return false;
  // A node that lags behind the last one takes where we are for the future.
  if (code === "bad_request") return !isFirst && field === "since";
  const passing = ["unreachable", "timeout", "no_leader", "overloaded", "stale", "internal"];
  return !isFirst && passing.includes(code);
}

function pathOf(selection: WatchSelection, place: Place): string {
  const { since: _, prev, ...range } = selection;
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(range)) {
    if (value !== undefined) parameters.set(name, value);
  }
  if (prev === true) parameters.set("prev", "true");
  if (place.revision !== undefined) parameters.set("since", String(place.revision));
  return `/v1/watch?${parameters.toString()}`;
}

async function* linesOf(
  asker: Asker,
  path: string,
  { signal, given }: { readonly signal: AbortSignal; readonly given: AbortController },
): AsyncGenerator<string> {
  const headers = { Accept: "application/x-ndjson" };
  const call = { method: "GET", path, headers, write: false, repeatable: true, signal } as const;
  const { response } = await asker.open(call);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  let rest = "";
  for (;;) {
    const timer = setTimeout(() => given.abort(), silenceMs);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > lineCharactersMax) {
      throw new KvError("protocol", "the server's line is longer than any of ours");
    }
    yield* lines;
  }
}

/** How far we are, so that the next connection neither leaves out nor repeats a change. */
class Place {
  /** All changes up to here have been given; undefined: not even the beginning is known. */
  revision: number | undefined;
  /** The revision that is being given, of how many changes were given, and have come again. */
  #partial = { revision: -1, given: 0, come: 0 };

  constructor(since: number | undefined) {
    this.revision = since;
  }

  /** The change in `json` where it is a new one. */
  next(json: Readonly<Record<string, unknown>>): ChangeJson | null {
    const { type, revision } = json;
    if (typeof revision !== "number") return null;
    if (type === "progress") {
      this.#reach(revision);
      return null;
    }
    const change = json as unknown as ChangeJson;
    if (this.revision !== undefined && revision <= this.revision) return null;
    const partial = this.#partial;
    if (revision !== partial.revision) {
      if (revision > partial.revision && partial.revision >= 0) this.#reach(partial.revision);
      this.#partial = { revision, given: 1, come: 1 };
    } else {
      partial.come += 1;
      if (partial.come <= partial.given) return null;
      partial.given = partial.come;
    }
    if (change.last === true) this.#reach(revision);
    return change;
  }

  /** A connection begins: what was given of an unfinished revision comes again. */
  begin(): void {
    this.#partial.come = 0;
  }

  #reach(revision: number): void {
    if (this.revision === undefined || revision > this.revision) this.revision = revision;
  }
}
