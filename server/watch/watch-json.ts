/** Changes as JSON: an event of a stream, or a line. */

import { rowJson, rowOfJson, valueJson, type JsonRow } from "../json-row.ts";
import { index } from "../raft/entry.ts";
import type { Row } from "../state-machine/command.ts";
import type { ChangeEvent, WatchEvent } from "./watch-port.ts";

/** `prev`, where it is asked for, is what stood there: without its value where nobody knows it any more. */
export function eventJson(event: WatchEvent, withBefore: boolean): object {
  if (event.type === "progress") return { type: event.type, revision: event.revision };
  const { type, key, row, revision, isLast } = event;
  return {
    type,
    key,
    ...(row === null ? {} : valueJson(row.value)),
    revision,
    contentType: row?.contentType ?? undefined,
    prev: withBefore ? beforeJson(event) : undefined,
    last: isLast ? true : undefined,
  };
}

function beforeJson({ before, revisionsBefore, key }: ChangeEvent): object | undefined {
  if (before !== null) return rowJson(before);
  if (revisionsBefore === null) return undefined;
  const { revision, createRevision } = revisionsBefore;
  return { key, revision, createRevision };
}

export function eventLines(events: readonly WatchEvent[], withBefore: boolean): string {
  return events.map((event) => `${JSON.stringify(eventJson(event, withBefore))}\n`).join("");
}

/**
 * As a browser's `EventSource` takes them: its next request names the last id. Only the last change of
 * a revision has one, so that a connection that breaks off before it gets the whole revision again.
 */
export function serverSentEvents(events: readonly WatchEvent[], withBefore: boolean): string {
  let text = "";
  for (const event of events) {
    const data = JSON.stringify(
      event.type === "progress" ? { revision: event.revision } : eventJson(event, withBefore),
    );
    const isWhole = event.type === "progress" || event.isLast;
    text += `${isWhole ? `id: ${event.revision}\n` : ""}event: ${event.type}\ndata: ${data}\n\n`;
  }
  return text;
}

type EventJson = Omit<JsonRow, "revision"> & {
  readonly type?: unknown;
  readonly revision?: unknown;
  readonly last?: unknown;
  readonly prev?: JsonRow;
};

/** What `eventLines` made of an event; null where it is something else. */
export function eventOfJson(json: unknown): WatchEvent | null {
  if (typeof json !== "object" || json === null) return null;
  const { type, key, revision: number, last, prev, ...rest } = json as EventJson;
  if (!Number.isSafeInteger(number)) return null;
  const revision = index(number as number);
  if (type === "progress") return { type, revision };
  if (typeof key !== "string") return null;
  if (type !== "put" && type !== "delete" && type !== "expire") return null;
  const row: Row | null = type === "put" ? rowOfJson({ ...rest, key, revision }) : null;
  const knowsBefore = prev?.value !== undefined || prev?.valueBase64 !== undefined;
  const before = prev !== undefined && knowsBefore ? rowOfJson(prev) : null;
  const revisionsBefore =
    prev === undefined
      ? null
      : { revision: prev.revision, createRevision: prev.createRevision ?? prev.revision };
  return { type, key, row, revision, isLast: last === true, before, revisionsBefore };
}
