/** Rows as the client gives them. */

import { bytesOf, bytesOfBase64, strictTextOf, textOf } from "./bytes.ts";
import { decoded } from "./error.ts";

export class Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** The index of the write that made it what it is. */
  readonly revision: number;
  /** The index of the write that made the key; of one that was taken away, not told. */
  readonly createRevision: number | undefined;
  readonly contentType: string | undefined;
  /** Milliseconds until it goes by itself; undefined where it stays. */
  readonly ttlMs: number | undefined;

  constructor(row: {
    readonly key: string;
    readonly value: Uint8Array;
    readonly revision: number;
    readonly createRevision?: number | undefined;
    readonly contentType?: string | undefined;
    readonly ttlMs?: number | undefined;
  }) {
    this.key = row.key;
    this.value = row.value;
    this.revision = row.revision;
    this.createRevision = row.createRevision;
    this.contentType = row.contentType;
    this.ttlMs = row.ttlMs;
  }

  /** What is not UTF-8 comes out as U+FFFD. */
  text(): string {
    return textOf(this.value);
  }

  /** Throws `undecodable` where the value is no JSON; `json<T>()` beside `connect` gives types. */
  json(): unknown {
    return decoded(this.key, () => JSON.parse(strictTextOf(this.value)) as unknown);
  }
}

/** A row as the server's JSON has it. */
export interface JsonRow {
  readonly key: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly revision: number;
  readonly createRevision?: number;
  readonly contentType?: string;
  readonly ttlMs?: number;
}

export function valueOfJson(json: Partial<JsonRow>): Uint8Array {
  const { value = "", valueBase64 } = json;
  return valueBase64 === undefined ? bytesOf(value) : bytesOfBase64(valueBase64);
}

export function entryOfJson(row: JsonRow): Entry {
  return new Entry({ ...row, value: valueOfJson(row) });
}

export const isJsonRow = (row: unknown): row is JsonRow => {
  const { key, revision } = (row ?? {}) as { key?: unknown; revision?: unknown };
  return typeof key === "string" && typeof revision === "number";
};
