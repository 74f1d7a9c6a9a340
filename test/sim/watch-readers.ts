/**
 * What the ends of watches make of the text that comes: the server's own client, the package's client
 * and a browser. Each knows behind which revision it goes on when a connection has broken off, at
 * whichever letter.
 */

import { valueOfJson } from "../../client/entry.ts";
import { WatchPlace } from "../../client/watch-place.ts";
import { unreachable } from "../../server/raft/assert.ts";
import type { ChangeType } from "../../server/state-machine/changes.ts";
import { eventLines, eventOfJson, serverSentEvents } from "../../server/watch/watch-json.ts";
import type { WatchEvent } from "../../server/watch/watch-port.ts";
import { WholeRevisions } from "../../server/watch/whole-revisions.ts";

/** A change as its watcher is told of it. */
export interface ToldChange {
  readonly type: ChangeType;
  readonly key: string;
  readonly revision: number;
  /** Null where nothing stands there since. */
  readonly value: Uint8Array | null;
  readonly contentType: string | null;
  /** Where it was asked for: what stood there; null: nothing. */
  readonly before: ToldBefore | null;
}

export interface ToldBefore {
  readonly revision: number;
  readonly createRevision: number;
  /** Null where nobody knows it any more; then its content type is not known either. */
  readonly value: Uint8Array | null;
  readonly contentType: string | null;
}

export interface WatchReader {
  /** All changes up to here were told; undefined: not even the beginning is known. */
  readonly since: number | undefined;
  /** What was told of a revision that is not whole comes again. */
  readonly isToldAgain: boolean;
  encode(events: readonly WatchEvent[], withBefore: boolean): string;
  read(text: string): ToldChange[];
  /** The next text is another connection's. */
  brokenOff(): void;
}

export const readerKinds = ["node", "client", "browser"] as const;

export function readerOf(
  kind: (typeof readerKinds)[number],
  since: number | undefined,
): WatchReader {
  switch (kind) {
    case "node":
      return new NodeReader(since);
    case "client":
      return new ClientReader(since);
    case "browser":
      return new BrowserReader(since);
    default:
      return unreachable(kind);
  }
}

/** Whole pieces of the text that has come, each of which ends with `end`. */
class Pieces {
  readonly #end: string;
  #rest = "";

  constructor(end: string) {
    this.#end = end;
  }

  of(text: string): string[] {
    const pieces = (this.#rest + text).split(this.#end);
    this.#rest = pieces.pop() ?? "";
    return pieces;
  }

  brokenOff(): void {
    this.#rest = "";
  }
}

/** As `server/watch/http-watch.ts` reads. */
class NodeReader implements WatchReader {
  readonly isToldAgain = false;
  readonly encode = eventLines;
  readonly #lines = new Pieces("\n");
  readonly #revisions: WholeRevisions;

  constructor(since: number | undefined) {
    this.#revisions = new WholeRevisions(since);
  }

  get since(): number | undefined {
    return this.#revisions.since;
  }

  read(text: string): ToldChange[] {
    const events = this.#lines.of(text).flatMap((line) => eventOfJson(JSON.parse(line)) ?? []);
    return this.#revisions.take(events).flatMap((event) => toldEvent(event) ?? []);
  }

  brokenOff(): void {
    this.#lines.brokenOff();
    this.#revisions.brokenOff();
  }
}

function toldEvent(event: WatchEvent): ToldChange | null {
  if (event.type === "progress") return null;
  const { type, key, revision, row, before, revisionsBefore } = event;
  const { value = null, contentType = null } = row ?? {};
  const former = revisionsBefore && {
    revision: revisionsBefore.revision,
    createRevision: revisionsBefore.createRevision,
    value: before?.value ?? null,
    contentType: before?.contentType ?? null,
  };
  return { type, key, revision, value, contentType, before: former };
}

/** As `client/watch.ts` reads. */
class ClientReader implements WatchReader {
  readonly isToldAgain = false;
  readonly encode = eventLines;
  readonly #lines = new Pieces("\n");
  readonly #place: WatchPlace;

  constructor(since: number | undefined) {
    this.#place = new WatchPlace(since);
  }

  get since(): number | undefined {
    return this.#place.revision;
  }

  read(text: string): ToldChange[] {
    const told: ToldChange[] = [];
    for (const line of this.#lines.of(text)) {
      const json = JSON.parse(line) as ChangeJson;
      if (this.#place.next(json) !== null) told.push(toldJson(json));
    }
    return told;
  }

  brokenOff(): void {
    this.#lines.brokenOff();
    this.#place.begin();
  }
}

type RowJson = Parameters<typeof valueOfJson>[0] & { readonly contentType?: string };
type ChangeJson = RowJson & {
  readonly type: ChangeType;
  readonly key: string;
  readonly revision: number;
  readonly prev?: BeforeJson;
};
type BeforeJson = RowJson & { readonly revision: number; readonly createRevision: number };

function toldJson(json: ChangeJson): ToldChange {
  const { type, key, revision, contentType = null, prev } = json;
  const value = type === "put" ? valueOfJson(json) : null;
  return { type, key, revision, value, contentType, before: prev ? toldBefore(prev) : null };
}

function toldBefore(prev: BeforeJson): ToldBefore {
  const { revision, createRevision, contentType = null } = prev;
  const hasValue = prev.value !== undefined || prev.valueBase64 !== undefined;
  return { revision, createRevision, contentType, value: hasValue ? valueOfJson(prev) : null };
}

/** An `EventSource`, which only knows the last id. */
class BrowserReader implements WatchReader {
  readonly isToldAgain = true;
  readonly encode = serverSentEvents;
  readonly #blocks = new Pieces("\n\n");
  since: number | undefined;

  constructor(since: number | undefined) {
    this.since = since;
  }

  read(text: string): ToldChange[] {
    const told: ToldChange[] = [];
    for (const block of this.#blocks.of(text)) {
      const fields = new Map<string, string>();
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        fields.set(line.slice(0, colon), line.slice(colon + 2));
      }
      const id = fields.get("id");
      if (id !== undefined) this.since = Number(id);
      if (fields.get("event") === "progress") continue;
      told.push(toldJson(JSON.parse(fields.get("data") ?? "") as ChangeJson));
    }
    return told;
  }

  brokenOff(): void {
    this.#blocks.brokenOff();
  }
}
