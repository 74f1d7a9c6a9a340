/** All rows of the users' table in the order of their keys, and whether they are whole. */

import type { RowBatch } from "../server/state-machine/port.ts";
import type { SqliteDatabase } from "./sqlite/port.ts";
import { StateHash } from "./state-hash.ts";
import { contradictionIn } from "./state-row.ts";
import { StateDamaged, userTable } from "./state-schema.ts";

/** Each may have a megabyte. */
const rowsPerBatch = 16;

export function* rowBatches(database: SqliteDatabase): Generator<RowBatch> {
  const { name, columns } = userTable;
  const select = database.prepare(
    `SELECT ${columns.join(", ")} FROM ${name} WHERE key > ? ORDER BY key LIMIT ${rowsPerBatch}`,
  );
  // No key is empty.
  let last = "";
  for (;;) {
    const found = select.all(last);
    const end = found.at(-1);
    if (!end) return;
    last = String(end["key"]);
    yield { table: name, rows: found.map((row) => columns.map((column) => row[column] ?? null)) };
  }
}

/** Every page, every row, and the hash over all rows. Returns their count. Throws `StateDamaged`. */
export function verifyRows(database: SqliteDatabase, stateHash: string): number {
  const [first] = database.prepare("PRAGMA integrity_check(1)").all();
  const verdict = String(first?.["integrity_check"] ?? "there is nothing to check");
  if (verdict !== "ok") throw new StateDamaged(database.path, verdict.replaceAll(/\s+/g, " "));
  const hash = new StateHash(0, 0);
  let count = 0;
  for (const { rows } of rowBatches(database)) {
    for (const row of rows) {
      const detail = contradictionIn(row);
      if (detail !== null) throw new StateDamaged(database.path, detail);
      const [, , , createRevision, revision, checksum] = row;
      hash.add(checksum as number, revision as number, createRevision as number);
      count++;
    }
  }
  if (hash.toString() === stateHash) return count;
  throw new StateDamaged(database.path, "its rows are not those it was made of");
}
