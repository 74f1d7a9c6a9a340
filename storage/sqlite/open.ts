/** Chooses the SQLite driver of the runtime at hand. */

import type { SqliteDriver } from "./port.ts";

export async function loadSqlite(): Promise<SqliteDriver> {
  if (process.versions["bun"] !== undefined) return (await import("./bun.ts")).bunDriver;
  const [{ default: Database }, { betterDriver }] = await Promise.all([
    import("better-sqlite3"),
    import("./better.ts"),
  ]);
  return betterDriver(Database);
}
