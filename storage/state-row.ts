/** A row of the users' table as SQLite gives it: read, and held against its checksum. */

import type { Index } from "../server/raft/entry.ts";
import type { Row } from "../server/state-machine/command.ts";
import type { SqliteRow, SqliteValue } from "./sqlite/port.ts";
import { rowChecksum } from "./state-hash.ts";

/** Of a row of the users' table, with its columns in their order. */
export function contradictionIn(columns: readonly SqliteValue[]): string | null {
  const [key, value, contentType, createRevision, revision, checksum, expires = null] = columns;
  const isRow =
    typeof key === "string" &&
    value instanceof Uint8Array &&
    (contentType === null || typeof contentType === "string") &&
    typeof revision === "number" &&
    typeof createRevision === "number" &&
    (expires === null || typeof expires === "number");
  if (!isRow) return "a row has a column of another type";
  const row = { key, value, contentType, expiresMs: expires ?? undefined };
  if (rowChecksum(row, revision, createRevision) === checksum) return null;
  return `the row of key ${JSON.stringify(key)} contradicts its checksum`;
}

export function readRow(found: SqliteRow): Row {
  const row = {
    key: found["key"] as string,
    value: found["value"] as Uint8Array,
    contentType: found["content_type"] as string | null,
    revision: found["revision"] as Index,
    createRevision: found["create_revision"] as Index,
  };
  const expires = found["expires_ms"] as number | null;
  return expires === null ? row : { ...row, expiresMs: expires };
}
