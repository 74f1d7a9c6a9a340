/** How SQLite goes about the statements that are run on the state again and again. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openSchema } from "../../storage/state-schema.ts";
import { prepareStatements } from "../../storage/state-statements.ts";
import type { SqliteDatabase } from "../../storage/sqlite/port.ts";
import { driver } from "./store-scene.ts";

test("rows are found and put in order by an index, never by a look at all of them", () => {
  const directory = mkdtempSync(join(tmpdir(), "kv-statements-"));
  const database = driver.open(join(directory, "state.sqlite"));
  try {
    openSchema(database);
    const statements: string[] = [];
    const prepare = (sql: string) => {
      statements.push(sql);
      return database.prepare(sql);
    };
    prepareStatements({ prepare } as SqliteDatabase);
    const onRows = statements.filter((sql) => /^SELECT[^]* FROM kv /.test(sql));
    assert.is(onRows.length, 8);
    for (const sql of onRows) {
      const values = [...sql.matchAll(/\?/g)].map(() => 0);
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values);
      const steps = plan.map((step) => String(step["detail"]));
      assert.is(steps.length, 1, sql);
      assert.match(steps.join(), /^SEARCH kv USING /, sql);
    }
  } finally {
    database.close();
    rmSync(directory, { recursive: true });
  }
});

test.run();
