/** All rows of all tables, each in the order of its keys, and whether they are whole. */

import type { RowBatch, StateDigest } from "../server/state-machine/port.ts";
import type { SqliteDatabase, SqliteRow } from "./sqlite/port.ts";
import { StateTally } from "./state-tally.ts";
import { StateDamaged, stateTables, type StateTable } from "./state-schema.ts";

/** Each may have a megabyte. */
const rowsPerBatch = 16;

export function* rowBatches(database: SqliteDatabase): Generator<RowBatch> {
  for (const table of stateTables) yield* tableBatches(database, table);
}

function* tableBatches(
  database: SqliteDatabase,
  { name, columns, keyCount }: StateTable,
): Generator<RowBatch> {
  const keys = columns.slice(0, keyCount);
  const marks = keys.map(() => "?").join(", ");
  const select = (where: string) =>
    database.prepare(
      `SELECT ${columns.join(", ")} FROM ${name} ${where}
       ORDER BY ${keys.join(", ")} LIMIT ${rowsPerBatch}`,
    );
  const next = select(`WHERE (${keys.join(", ")}) > (${marks})`);
  const values = (row: SqliteRow) => columns.map((column) => row[column] ?? null);
  for (let found = select("").all(); ;) {
    const rows = found.map(values);
    const end = rows.at(-1);
    if (!end) return;
    yield { table: name, rows };
    found = next.all(...end.slice(0, keyCount));
  }
}

/** Every page, every row, and the hashes over all rows. Returns their count. Throws `StateDamaged`. */
export function verifyRows(
  database: SqliteDatabase,
  digest: Pick<StateDigest, "stateHash" | "bookHash">,
): number {
  const [first] = database.prepare("PRAGMA integrity_check(1)").all();
  const verdict = String(first?.["integrity_check"] ?? "there is nothing to check");
  if (verdict !== "ok") throw new StateDamaged(database.path, verdict.replaceAll(/\s+/g, " "));
  const tally = new StateTally();
  for (const { table, rows } of rowBatches(database)) {
    for (const row of rows) {
      const detail = tally.add(table, row);
      if (detail !== null) throw new StateDamaged(database.path, detail);
    }
  }
  const detail = tally.contradiction(digest);
  if (detail === null) return tally.rowCount;
  throw new StateDamaged(database.path, detail);
}
