/** Changes as they come, over as many connections as it takes, each of them once and in order. */

import type { Asker } from "./asker.ts";
import { strictTextOf, textOf } from "./bytes.ts";
import { entryOfJson, isJsonRow, valueOfJson, type Entry } from "./entry.ts";
import { decoded, KvError, objectIn } from "./error.ts";
import { wellFormed } from "./request-parts.ts";
import { pause } from "./time.ts";
import { WatchPlace, type ChangeJson } from "./watch-place.ts";

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

  /** Throws `undecodable` where there is no value, or one that is no JSON. */
  json(): unknown {
    const { value = new Uint8Array() } = this;
    return decoded(this.key, () => JSON.parse(strictTextOf(value)) as unknown);
  }
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
  const place = new WatchPlace(selection.since);
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

function pathOf(selection: WatchSelection, place: WatchPlace): string {
  const { since: _, prev, ...range } = selection;
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(range)) {
    if (value !== undefined) parameters.set(name, wellFormed(value, name));
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
