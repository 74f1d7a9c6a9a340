/**
 * The rows of one instant, read bit by bit while others go on changing them. Not a second connection:
 * a reader in the write-ahead log keeps it from being cut for as long as the reading takes, and with
 * it the Raft log from being compacted. Instead the first change of a row that was not read yet puts
 * what was there before into a scratch file, by triggers, so that no statement that changes rows has
 * to know of it.
 */

import { assert, must } from "../server/raft/assert.ts";
import type {
  AppliedState,
  RowBatch,
  StateDigest,
  StateView,
} from "../server/state-machine/port.ts";
import { removeLarge } from "./large-file.ts";
import type { SqliteDatabase, SqliteRow, SqliteStatement, SqliteValue } from "./sqlite/port.ts";
import type { StateTable } from "./state-schema.ts";

/**
 * Rows whose sizes are looked at in one step. SQLite reads a whole row to tell its size, so there are
 * not many more of them than will be taken: twice as many as the last time.
 */
const scanRowsMax = 512;
const firstScanRows = 16;
const scratchCacheKib = 2 << 10;

export interface StateViewOptions {
  /** Without an open transaction. */
  readonly database: SqliteDatabase;
  readonly tables: readonly StateTable[];
  readonly applied: AppliedState;
  readonly digest: StateDigest;
  /** Brings the open transaction to its end, if there is one. */
  readonly endTransaction: () => void;
  /** Throws where a row contradicts itself. */
  readonly check: (table: string, row: readonly SqliteValue[]) => void;
  readonly onClose: () => void;
}

export const scratchPath = (path: string): string => `${path}-before`;

export class SqliteStateView implements StateView {
  readonly applied: AppliedState;
  readonly digest: StateDigest;
  readonly #options: StateViewOptions;
  #left: TableScan[];
  #isClosed = false;

  constructor(options: StateViewOptions) {
    const { database, tables } = options;
    this.#options = options;
    this.applied = options.applied;
    this.digest = options.digest;
    const path = scratchPath(database.path);
    removeLarge(path);
    database.prepare("ATTACH ? AS scratch").run(path);
    // A crash ends the view; of the scratch file only a roll-back has to be right.
    database.prepare("PRAGMA scratch.journal_mode = MEMORY").get();
    database.exec("PRAGMA scratch.synchronous = OFF");
    database.exec(`PRAGMA scratch.cache_size = -${scratchCacheKib}`);
    // A row that REPLACE takes away is a deleted one to the triggers only with this.
    database.exec("PRAGMA recursive_triggers = ON");
    this.#left = tables.map((table) => new TableScan(database, table));
  }

  read(bytesMax: number): RowBatch | null {
    assert(!this.#isClosed, "a closed view is not read");
    // Where the reading has come to must not be taken back with somebody else's transaction.
    this.#options.endTransaction();
    for (;;) {
      const [scan] = this.#left;
      if (!scan) return null;
      const rows = scan.read(bytesMax);
      if (rows === null) {
        scan.close();
        this.#left.shift();
        continue;
      }
      if (rows.length === 0) continue;
      for (const row of rows) this.#options.check(scan.table, row);
      return { table: scan.table, rows };
    }
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { database, endTransaction, onClose } = this.#options;
    endTransaction();
    for (const scan of this.#left) scan.close();
    database.exec("DETACH scratch");
    removeLarge(scratchPath(database.path));
    onClose();
  }
}

/** One table: first what is in it, then what was there before changes to rows not reached yet. */
class TableScan {
  readonly table: string;
  readonly #database: SqliteDatabase;
  readonly #columns: readonly string[];
  readonly #keyCount: number;
  readonly #statements: ReturnType<typeof prepareScan>;
  readonly #triggers: readonly string[];
  #isCapturing = true;
  /** The key of the last row read; null before the first. */
  #last: SqliteValue[] | null = null;
  #scanRows = firstScanRows;

  constructor(database: SqliteDatabase, { name, columns, keyCount }: StateTable) {
    this.table = name;
    this.#database = database;
    this.#columns = columns;
    this.#keyCount = keyCount;
    this.#triggers = createCapture(database, { name, columns, keyCount });
    this.#statements = prepareScan(database, { name, columns, keyCount });
  }

  /** Null behind the last; may be empty before it. */
  read(bytesMax: number): SqliteValue[][] | null {
    const { main, before } = this.#statements;
    if (!this.#isCapturing) return this.#next(before, bytesMax);
    const rows = this.#next(main, bytesMax);
    if (rows !== null) {
      this.#statements.moveOn.run(...must(this.#last, "a row was read"));
      return rows;
    }
    this.#stopCapture();
    this.#last = null;
    return this.#next(before, bytesMax);
  }

  close(): void {
    this.#stopCapture();
    const { main, before, moveOn } = this.#statements;
    moveOn.release();
    for (const { sizes, rows } of [main, before]) {
      for (const statement of [sizes.first, sizes.next, rows.first, rows.next]) statement.release();
    }
  }

  #stopCapture(): void {
    if (!this.#isCapturing) return;
    this.#isCapturing = false;
    for (const trigger of this.#triggers) this.#database.exec(`DROP TRIGGER temp.${trigger}`);
  }

  #next({ sizes, rows }: Scan, bytesMax: number): SqliteValue[][] | null {
    const from = this.#last;
    // Sizes first: a row may have a megabyte or a hundred bytes.
    const found =
      from === null ? sizes.first.all(this.#scanRows) : sizes.next.all(...from, this.#scanRows);
    let count = 0;
    let bytes = 0;
    for (const { size } of found) {
      bytes += size as number;
      if (count > 0 && bytes > bytesMax) break;
      count++;
    }
    this.#scanRows = Math.min(scanRowsMax, 2 * count + 1);
    const end = found[count - 1];
    if (!end) return null;
    const through = this.#values(end, this.#keyCount);
    this.#last = through;
    const whole = from === null ? rows.first.all(...through) : rows.next.all(...from, ...through);
    return whole.map((row) => this.#values(row, this.#columns.length));
  }

  #values(row: SqliteRow, count: number): SqliteValue[] {
    return this.#columns.slice(0, count).map((column) => row[column] as SqliteValue);
  }
}

interface Scan {
  /** Keys and sizes, from the start or behind a key. */
  readonly sizes: { readonly first: SqliteStatement; readonly next: SqliteStatement };
  /** Whole rows, up to and including a key. */
  readonly rows: { readonly first: SqliteStatement; readonly next: SqliteStatement };
}

const list = (columns: readonly string[], before = ""): string =>
  columns.map((column) => before + column).join(", ");

/** Makes the tables for what was before, and the triggers that fill them. Returns their names. */
function createCapture(
  database: SqliteDatabase,
  { name, columns, keyCount }: StateTable,
): readonly string[] {
  const keys = columns.slice(0, keyCount);
  const others = columns.slice(keyCount);
  const nothing = others.map(() => "NULL");
  // `kv_was_there`: 0 says that the view has no such row.
  database.exec(
    `CREATE TABLE scratch.${name}_before (${list(columns)}, kv_was_there, PRIMARY KEY (${list(keys)}))
       WITHOUT ROWID;
     CREATE TABLE scratch.${name}_reached (kv_one INTEGER PRIMARY KEY, ${list(keys)})`,
  );
  const trigger = (event: string, row: "NEW" | "OLD", values: readonly string[]): string => {
    const key = list(keys, `${row}.`);
    // "OR IGNORE" would be overridden by the conflict clause of the statement that fires it.
    database.exec(
      `CREATE TEMP TRIGGER ${name}_${event} AFTER ${event} ON main.${name}
       WHEN NOT EXISTS (SELECT 1 FROM scratch.${name}_reached WHERE (${list(keys)}) >= (${key}))
        AND NOT EXISTS (SELECT 1 FROM scratch.${name}_before WHERE (${list(keys)}) = (${key}))
       BEGIN
         INSERT INTO scratch.${name}_before VALUES (${list([key, ...values])});
       END`,
    );
    return `${name}_${event}`;
  };
  const old = [...others.map((column) => `OLD.${column}`), "1"];
  return [
    trigger("insert", "NEW", [...nothing, "0"]),
    trigger("update", "OLD", old),
    trigger("delete", "OLD", old),
  ];
}

function prepareScan(database: SqliteDatabase, { name, columns, keyCount }: StateTable) {
  const keys = columns.slice(0, keyCount);
  const marks = keys.map(() => "?").join(", ");
  const behind = `(${list(keys)}) > (${marks})`;
  const through = `(${list(keys)}) <= (${marks})`;
  const size = columns.map((column) => `ifnull(length(${column}), 0)`).join(" + ");
  const scan = (table: string, isCounted: string): Scan => {
    const sizes = (where: string): SqliteStatement =>
      database.prepare(
        `SELECT ${list(keys)}, iif(${isCounted}, ${size}, 0) AS size FROM ${table} ${where}
         ORDER BY ${list(keys)} LIMIT ?`,
      );
    const rows = (where: string): SqliteStatement =>
      database.prepare(
        `SELECT ${list(columns)} FROM ${table} WHERE ${where} AND ${isCounted}
         ORDER BY ${list(keys)}`,
      );
    return {
      sizes: { first: sizes(""), next: sizes(`WHERE ${behind}`) },
      rows: { first: rows(through), next: rows(`${behind} AND ${through}`) },
    };
  };
  const same = keys.map((key) => `b.${key} = main.${name}.${key}`).join(" AND ");
  return {
    main: scan(
      `main.${name}`,
      `NOT EXISTS (SELECT 1 FROM scratch.${name}_before AS b WHERE ${same})`,
    ),
    before: scan(`scratch.${name}_before`, "kv_was_there = 1"),
    moveOn: database.prepare(`REPLACE INTO scratch.${name}_reached VALUES (1, ${marks})`),
  };
}
