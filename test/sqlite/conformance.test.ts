/** What every SQLite driver has to do alike. Runs on the driver of the runtime it is run on. */

import { copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { loadSqlite } from "../../storage/sqlite/open.ts";
import { SqliteError, type SqliteDatabase, type SqliteValue } from "../../storage/sqlite/port.ts";

const driver = await loadSqlite();
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function withDirectory(run: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "kv-sqlite-"));
  try {
    run(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function withDatabase(run: (database: SqliteDatabase, path: string) => void): void {
  withDirectory((directory) => {
    const path = join(directory, "test.sqlite");
    const database = driver.open(path);
    try {
      run(database, path);
    } finally {
      database.close();
    }
  });
}

/** The code of the `SqliteError` that `run` throws. */
function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.instance(error, SqliteError);
    return (error as SqliteError).code;
  }
  throw new Error("nothing was thrown");
}

/** What a column of type `type` gives back for `value`. */
function roundTrip(type: string, value: SqliteValue): SqliteValue | undefined {
  let result: SqliteValue | undefined;
  withDatabase((database) => {
    database.exec(`CREATE TABLE t (v ${type})`);
    database.prepare("INSERT INTO t VALUES (?)").run(value);
    result = database.prepare("SELECT v FROM t").get()?.["v"];
  });
  return result;
}

test("the driver is the one of this runtime", () => {
  const isBun = process.versions["bun"] !== undefined;
  assert.is(driver.name, isBun ? "bun:sqlite" : "better-sqlite3");
});

test("null, text and numbers come back as they went in", () => {
  assert.is(roundTrip("TEXT", null), null);
  assert.is(roundTrip("TEXT", "a text"), "a text");
  assert.is(roundTrip("INTEGER", 0), 0);
  assert.is(roundTrip("INTEGER", -1), -1);
});

test("empty text is text and not null", () => {
  assert.is(roundTrip("TEXT", ""), "");
});

test("text of every plane comes back as it went in", () => {
  for (const text of ["é", "\u{7ff}\u{800}", "\u{ffff}", "😀", "\u{10ffff}", "\u{feff}x", "it's"]) {
    assert.is(roundTrip("TEXT", text), text);
  }
});

test("blobs come back as plain Uint8Array", () => {
  const found = roundTrip("BLOB", bytes(0, 1, 127, 128, 255));
  assert.is(Object.getPrototypeOf(found), Uint8Array.prototype);
  assert.equal(found, bytes(0, 1, 127, 128, 255));
});

test("an empty blob is a blob and not null", () => {
  const found = roundTrip("BLOB NOT NULL", bytes());
  assert.instance(found, Uint8Array);
  assert.is((found as Uint8Array).byteLength, 0);
});

test("a view into a larger buffer is stored as what it shows", () => {
  assert.equal(roundTrip("BLOB", bytes(1, 2, 3, 4, 5).subarray(1, 4)), bytes(2, 3, 4));
});

test("a blob that was read does not change with later statements", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)");
    const insert = database.prepare("INSERT INTO t VALUES (?, ?)");
    insert.run(1, new Uint8Array(1000).fill(1));
    insert.run(2, new Uint8Array(1000).fill(2));
    const select = database.prepare("SELECT v FROM t WHERE id = ?");
    const first = select.get(1)?.["v"] as Uint8Array;
    select.get(2);
    database.exec("UPDATE t SET v = zeroblob(1000)");
    assert.ok(first.every((byte) => byte === 1));
  });
});

test("a megabyte of blob comes back", () => {
  const large = new Uint8Array(1 << 20).map((_, i) => i * 31);
  assert.equal(roundTrip("BLOB", large), large);
});

test("safe integers are stored as integers, to both ends", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (v INTEGER)");
    const insert = database.prepare("INSERT INTO t VALUES (?)");
    const ends = [2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
    for (const value of ends) insert.run(value);
    const rows = database.prepare("SELECT v, typeof(v) AS type FROM t").all();
    assert.equal(
      rows.map((row) => row["v"]),
      ends,
    );
    assert.ok(rows.every((row) => row["type"] === "integer"));
  });
});

test("an integer that a number cannot hold is an error and not another integer", () => {
  withDatabase((database) => {
    for (const value of ["9007199254740992", "9007199254740993", "-9223372036854775808"]) {
      const statement = database.prepare(`SELECT ${value} AS v`);
      assert.is(
        codeOf(() => statement.get()),
        "SQLITE_MISMATCH",
        value,
      );
      assert.is(
        codeOf(() => statement.all()),
        "SQLITE_MISMATCH",
        value,
      );
    }
  });
});

test("no row is null, no rows are an empty list", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (v)");
    const statement = database.prepare("SELECT v FROM t");
    assert.is(statement.get(), null);
    assert.equal(statement.all(), []);
  });
});

test("a statement is used again with other parameters, also after an error", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID");
    const insert = database.prepare("INSERT INTO t VALUES (?, ?)");
    const select = database.prepare("SELECT v FROM t WHERE k = ?");
    insert.run("a", 1);
    assert.is(
      codeOf(() => insert.run("a", 2)),
      "SQLITE_CONSTRAINT_PRIMARYKEY",
    );
    insert.run("b", 2);
    assert.is(select.get("a")?.["v"], 1);
    assert.is(select.get("b")?.["v"], 2);
    assert.is(select.get("c"), null);
  });
});

test("a change tells whether there was anything to change, with and without a trigger", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER); CREATE TABLE seen (v)");
    const insert = database.prepare("INSERT INTO t VALUES (?, 1)");
    const update = database.prepare("UPDATE t SET v = v + 1 WHERE rowid = ? AND k = ?");
    const check = (): void => {
      assert.is(update.run(9, "a").changes, 0);
      assert.is(update.run(1, "other").changes, 0);
      assert.ok(update.run(1, "a").changes > 0);
      assert.is(update.run(9, "a").changes, 0);
    };
    insert.run("a");
    check();
    database.exec(
      "CREATE TEMP TRIGGER told AFTER UPDATE ON main.t BEGIN INSERT INTO seen VALUES (NEW.v); END",
    );
    check();
  });
});

test("an insert tells the rowid, whatever a trigger inserts elsewhere", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (k TEXT PRIMARY KEY); CREATE TABLE seen (k)");
    database.exec("INSERT INTO seen VALUES (1), (2), (3)");
    database.exec(
      "CREATE TEMP TRIGGER told AFTER INSERT ON main.t BEGIN INSERT INTO seen VALUES (NEW.k); END",
    );
    const insert = database.prepare("INSERT INTO t VALUES (?)");
    const select = database.prepare("SELECT rowid FROM t WHERE k = ?");
    for (const key of ["a", "b"]) {
      const { lastInsertRowid } = insert.run(key);
      assert.is(lastInsertRowid, select.get(key)?.["rowid"]);
    }
    assert.throws(() => insert.run("a"));
    database.exec("DELETE FROM t WHERE k = 'a'");
    const { lastInsertRowid } = insert.run("a");
    assert.is(lastInsertRowid, 3);
  });
});

test("broken rules are told by their extended code, with the path", () => {
  withDatabase((database, path) => {
    database.exec("CREATE TABLE t (v TEXT NOT NULL CHECK (v <> 'bad'), u UNIQUE)");
    const insert = database.prepare("INSERT INTO t VALUES (?, ?)");
    insert.run("good", 1);
    assert.is(
      codeOf(() => insert.run(null, 2)),
      "SQLITE_CONSTRAINT_NOTNULL",
    );
    assert.is(
      codeOf(() => insert.run("bad", 2)),
      "SQLITE_CONSTRAINT_CHECK",
    );
    assert.is(
      codeOf(() => insert.run("good", 1)),
      "SQLITE_CONSTRAINT_UNIQUE",
    );
    try {
      insert.run(null, 2);
    } catch (error) {
      assert.is((error as SqliteError).path, path);
      assert.ok((error as SqliteError).message.includes(path));
    }
  });
});

test("wrong SQL is an error when it is prepared or executed", () => {
  withDatabase((database) => {
    assert.is(
      codeOf(() => database.prepare("SELEC 1")),
      "SQLITE_ERROR",
    );
    assert.is(
      codeOf(() => database.exec("INSERT INTO nowhere VALUES (1)")),
      "SQLITE_ERROR",
    );
  });
});

test("a directory that is not there is an error", () => {
  withDirectory((directory) => {
    assert.is(
      codeOf(() => driver.open(join(directory, "no", "x.sqlite"))),
      "SQLITE_CANTOPEN",
    );
  });
});

test("a file that is no database is an error", () => {
  withDirectory((directory) => {
    const path = join(directory, "x.sqlite");
    copyFileSync(new URL(import.meta.url), path);
    let database: SqliteDatabase | null = null;
    const code = codeOf(() => {
      database = driver.open(path);
      database.prepare("SELECT count(*) AS n FROM sqlite_schema").get();
    });
    (database as SqliteDatabase | null)?.close();
    assert.is(code, "SQLITE_NOTADB");
  });
});

test("a path is taken literally", () => {
  withDirectory((directory) => {
    const path = join(directory, "a?mode=memory#x");
    const database = driver.open(path);
    database.exec("CREATE TABLE t (v)");
    database.close();
    assert.ok(statSync(path).size > 0);
  });
});

test("a committed transaction is there, a rolled back one is not", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (v)");
    const begin = database.prepare("BEGIN IMMEDIATE");
    const insert = database.prepare("INSERT INTO t VALUES (?)");
    begin.run();
    insert.run(1);
    database.prepare("COMMIT").run();
    begin.run();
    insert.run(2);
    database.prepare("ROLLBACK").run();
    assert.equal(
      database
        .prepare("SELECT v FROM t")
        .all()
        .map((row) => row["v"]),
      [1],
    );
  });
});

test("a second connection finds the first one's transaction busy", () => {
  withDatabase((database, path) => {
    database.exec("CREATE TABLE t (v)");
    const other = driver.open(path);
    try {
      other.exec("PRAGMA busy_timeout = 0");
      database.exec("BEGIN IMMEDIATE");
      assert.is(
        codeOf(() => other.exec("BEGIN IMMEDIATE")),
        "SQLITE_BUSY",
      );
      database.exec("COMMIT");
      other.exec("BEGIN IMMEDIATE");
      other.exec("COMMIT");
    } finally {
      other.close();
    }
  });
});

test("a connection gives its locks back when it is closed, whatever was prepared on it", () => {
  withDatabase((database, path) => {
    database.exec("CREATE TABLE t (v)");
    database.exec("PRAGMA busy_timeout = 0");
    const other = driver.open(path);
    const select = other.prepare("SELECT v FROM t");
    other.exec("BEGIN EXCLUSIVE");
    select.all();
    other.close();
    database.exec("BEGIN IMMEDIATE");
    database.exec("COMMIT");
  });
});

test("a statement that was read to its first row holds no lock", () => {
  withDatabase((database) => {
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("CREATE TABLE t (v); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
    assert.is(database.prepare("SELECT v FROM t").get()?.["v"], 1);
    const result = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
    assert.is(result?.["busy"], 0);
  });
});

test("text is ordered by the bytes of its UTF-8", () => {
  withDatabase((database) => {
    database.exec("CREATE TABLE t (k TEXT PRIMARY KEY) WITHOUT ROWID");
    // The units of UTF-16 would put the last three the other way round.
    const ordered = ["", "A", "Z", "a", "z", "é", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}"];
    const insert = database.prepare("INSERT INTO t VALUES (?)");
    for (const text of ordered.toReversed()) insert.run(text);
    const found = database.prepare("SELECT k FROM t ORDER BY k").all();
    assert.equal(
      found.map((row) => row["k"]),
      ordered,
    );
    assert.equal(
      ordered.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      ordered,
    );
  });
});

test("what was committed to the write-ahead log survives without a close", () => {
  withDatabase((database, path) => {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
    database.exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)");
    database.exec("BEGIN; INSERT INTO t VALUES (2)");
    const crashed = `${path}.crashed`;
    copyFileSync(path, crashed);
    copyFileSync(`${path}-wal`, `${crashed}-wal`);
    database.exec("ROLLBACK");
    const other = driver.open(crashed);
    try {
      assert.equal(
        other
          .prepare("SELECT v FROM t")
          .all()
          .map((row) => row["v"]),
        [1],
      );
    } finally {
      other.close();
    }
  });
});

test.run();
