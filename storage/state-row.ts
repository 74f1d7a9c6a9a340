/** A row of the users' table as SQLite gives it: read, and held against its checksum. */

import type { Index } from "../server/raft/entry.ts";
import type { Row } from "../server/state-machine/command.ts";
import { rowOf } from "../server/state-machine/rows.ts";
import type { SqliteRow, SqliteValue } from "./sqlite/port.ts";
import { rowChecksum } from "./state-hash.ts";

/** Of a row of the users' table, with its columns in their order. */
export function contradictionIn(columns: readonly SqliteValue[]): string | null {
  const [
    key,
    value,
    contentType,
    createRevision,
    revision,
    checksum,
    expires = null,
    lease = null,
  ] = columns;
  const isRow =
    typeof key === "string" &&
    value instanceof Uint8Array &&
    (contentType === null || typeof contentType === "string") &&
    typeof revision === "number" &&
    typeof createRevision === "number" &&
    (expires === null || typeof expires === "number") &&
    (lease === null || typeof lease === "number");
  if (!isRow) return "a row has a column of another type";
  const times = { expiresMs: expires ?? undefined, lease: lease ?? undefined };
  const row = { key, value, contentType, ...times };
  if (rowChecksum(row, revision, createRevision) === checksum) return null;
  return `the row of key ${JSON.stringify(key)} contradicts its checksum`;
}

export function readRow(found: SqliteRow): Row {
  const lasts = found["expires_ms"] as number | null;
  const lease = found["lease"] as number | null;
  const row = {
    key: found["key"] as string,
    value: found["value"] as Uint8Array,
    contentType: found["content_type"] as string | null,
    expiresMs: lasts ?? undefined,
    lease: lease ?? undefined,
  };
  const revision = found["revision"] as Index;
  return rowOf(row, { revision, createRevision: found["create_revision"] as Index });
}
