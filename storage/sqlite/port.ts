/** The little of SQLite that the storage needs, the same over every driver. */

import { rmSync, writeFileSync } from "node:fs";

/** More than one page of any size. */
const probeBytes = 128 << 10;

/** What goes into and comes out of a column. Numbers are safe integers; any other is an error. */
export type SqliteValue = string | number | null | Uint8Array;

/** Values by the names of their columns. Blobs are the caller's own: nothing writes to them later. */
export type SqliteRow = Readonly<Record<string, SqliteValue>>;

/** Any failure of the database, by SQLite's extended result code (`SQLITE_BUSY`, `SQLITE_CORRUPT`, …). */
export class SqliteError extends Error {
  override name = "SqliteError";
  readonly path: string;
  readonly code: string;
  /** The message without the path. */
  readonly detail: string;

  constructor(path: string, code: string, detail: string) {
    super(`${path}: ${detail} (${code})`);
    this.path = path;
    this.code = code;
    this.detail = `${detail} (${code})`;
  }

  /** Another connection holds the lock. */
  get isBusy(): boolean {
    return /^SQLITE_BUSY(?:_|$)/.test(this.code);
  }

  /** The disk has no room; what was asked for has not happened. A failed sync is none of this. */
  get isFull(): boolean {
    return this.code === "SQLITE_FULL";
  }

  /** A row that the table does not take: its key is there already, or a value is missing. */
  get isConstraint(): boolean {
    return /^SQLITE_CONSTRAINT(?:_|$)/.test(this.code);
  }

  /** What is in the file is not what was written; anything else is trouble with reaching it. */
  get isDamage(): boolean {
    return /^SQLITE_(?:CORRUPT|NOTADB|MISMATCH)(?:_|$)/.test(this.code);
  }
}

/** Of an INSERT, UPDATE or DELETE. */
export interface SqliteChanges {
  /** 0 where no row was changed. What triggers changed may count, or not. */
  readonly changes: number;
  /** Of the row inserted last on the connection, into a table that has one. */
  readonly lastInsertRowid: number;
}

/** All methods throw `SqliteError`. `run` is for statements without result rows. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): SqliteChanges;
  /** The first row; null where there is none. */
  get(...values: SqliteValue[]): SqliteRow | null;
  all(...values: SqliteValue[]): SqliteRow[];
  /** It is not run again. For statements that do not live as long as their database. */
  release(): void;
}

export interface SqliteDatabase {
  /** Absolute. */
  readonly path: string;
  /** Statements without results, several at once. */
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  /** Ends the prepared statements too, and gives back every lock before it returns. */
  close(): void;
}

export interface SqliteDriver {
  readonly name: string;
  /** Opens the file, or creates it. Its directory must be there. */
  open(path: string): SqliteDatabase;
}

/** What a driver threw, as `SqliteError`. What does not come from SQLite is a bug and stays as it is. */
export function asSqliteError(
  path: string,
  error: unknown,
  isQuotaReached = quotaReached,
): unknown {
  if (error instanceof SqliteError || !(error instanceof Error)) return error;
  const { code } = error as { code?: unknown };
  if (typeof code !== "string" || !code.startsWith("SQLITE_")) return error;
  // SQLite knows a full disk by ENOSPC alone: EDQUOT is any failed write to it.
  const isFull = code === "SQLITE_IOERR_WRITE" && isQuotaReached(path);
  return new SqliteError(path, isFull ? "SQLITE_FULL" : code, error.message);
}

/** Tries it, beside the database: nothing else tells whose the room is that a disk says is free. */
function quotaReached(path: string): boolean {
  const probe = `${path}-probe`;
  try {
    writeFileSync(probe, new Uint8Array(probeBytes));
    return false;
  } catch (error) {
    return /^(?:EDQUOT|ENOSPC)$/.test((error as NodeJS.ErrnoException).code ?? "");
  } finally {
    rmSync(probe, { force: true });
  }
}

/**
 * Refuses numbers that are not what is in the file: drivers round integers beyond 2^53 to the nearest
 * double, which is never a safe integer.
 */
export function checkRow(path: string, row: SqliteRow): SqliteRow {
  for (const name in row) {
    const value = row[name];
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new SqliteError(path, "SQLITE_MISMATCH", `${name} is not a safe integer`);
    }
  }
  return row;
}
