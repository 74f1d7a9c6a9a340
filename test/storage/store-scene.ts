/** A key-value store in a directory of its own, and what tests do to it and to its file. */

import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { configuration } from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Entry, type EntryKind } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import type {
  Command,
  CommandResult,
  ListAnswer,
  ListQuery,
  Row,
} from "../../server/state-machine/command.ts";
import { prefixRange } from "../../server/state-machine/key-range.ts";
import { KeyValueStore, type OpenResult } from "../../storage/key-value-store.ts";
import { systemSyncs, type FileSyncs } from "../../storage/state-sync.ts";
import { loadSqlite } from "../../storage/sqlite/open.ts";
import {
  SqliteError,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteStatement,
} from "../../storage/sqlite/port.ts";

/** Every row there is, in a small store. */
export const wholeQuery = {
  type: "list",
  range: prefixRange(""),
  after: null,
  reverse: false,
  limit: 1000,
  keysOnly: false,
  bytesMax: 1 << 20,
  groups: null,
} as const;

/** While `sql` is set, statements that begin with it fail as on a full disk. */
export const failing: { sql: string | null } = { sql: null };
export const driver = withFaults(await loadSqlite());
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const none = new Uint8Array(0);

export const members = configuration([
  { id: nodeId(1), role: "voter", raft: "a:1", http: "a:2", incarnation: "0" },
]);

/** Of a disk that has room. */
export function roomy<T extends object>(result: T | "full" | "busy"): T {
  assert.ok(typeof result === "object", "the disk has room, and nobody reads");
  return result;
}

/** What a listing is to give other than everything; `prefix` stands for its range. */
type SceneQuery = Partial<ListQuery> & { readonly prefix?: string };

/** A store in a directory of its own, with a log of entries that it is given. */
export class Scene {
  readonly path: string;
  store: KeyValueStore;
  #lastIndex = 0;

  constructor(path: string, syncs: FileSyncs = systemSyncs) {
    this.path = path;
    this.store = opened(path, syncs);
  }

  entry(kind: EntryKind, data: Uint8Array): Entry {
    this.#lastIndex++;
    return { index: index(this.#lastIndex), term: term(3), kind, timeMs: 0, data };
  }

  putEntry(key: string, value: Uint8Array | string, contentType: string | null = null): Entry {
    const bytes = typeof value === "string" ? utf8(value) : value;
    return this.entry("command", framed({ op: "put", key, value: bytes, contentType }));
  }

  deleteEntry(key: string): Entry {
    return this.commandEntry({ op: "delete", key });
  }

  commandEntry(command: Command): Entry {
    return this.entry("command", framed(command));
  }

  do(command: Command, timeMs = 0): CommandResult {
    const entry = { ...this.commandEntry(command), timeMs };
    return must(this.store.apply(entry), "a command answers");
  }

  put(key: string, value: Uint8Array | string, contentType: string | null = null): CommandResult {
    return must(this.store.apply(this.putEntry(key, value, contentType)), "a command answers");
  }

  delete(key: string): CommandResult {
    return must(this.store.apply(this.deleteEntry(key)), "a command answers");
  }

  get(key: string): Row | null {
    const answer = this.store.lookup({ type: "get", key });
    if (answer.type !== "get") throw new Error("a get answers with a get");
    return answer.row;
  }

  list(query: SceneQuery = {}): ListAnswer {
    const { prefix = "", ...others } = query;
    const answer = this.store.lookup({
      ...wholeQuery,
      range: prefixRange(prefix),
      ...others,
    });
    if (answer.type !== "list") throw new Error("a list answers with a list");
    return answer;
  }

  keys(query: SceneQuery = {}): string[] {
    return this.list(query).rows.map((row) => row.key);
  }

  /** Another state is in the store's place: its next entry comes behind this one. */
  goOnAt(applied: number): void {
    this.#lastIndex = applied;
  }

  get stateHash(): string {
    return this.store.digest().stateHash;
  }

  reopen(): void {
    this.store.close();
    this.store = opened(this.path);
  }

  /** What a kill -9 at this moment would leave, opened. */
  crashed(): OpenResult {
    const path = `${this.path}-crashed`;
    for (const end of ["", "-wal", "-before", "-incoming"]) {
      rmSync(path + end, { force: true });
      if (existsSync(this.path + end)) copyFileSync(this.path + end, path + end);
    }
    return KeyValueStore.open({ driver, path });
  }

  /** Changes the closed file behind the store's back, then opens it. */
  tampered(sql: string): OpenResult {
    this.store.close();
    const database = driver.open(this.path);
    database.exec(sql);
    database.close();
    const result = KeyValueStore.open({ driver, path: this.path });
    if (result.ok) this.store = result.store;
    return result;
  }
}

const full = ({ path }: SqliteDatabase): SqliteError =>
  new SqliteError(path, "SQLITE_FULL", "database or disk is full");

function withFaults(real: SqliteDriver): SqliteDriver {
  const prepare = (database: SqliteDatabase, sql: string): SqliteStatement => {
    const statement = database.prepare(sql);
    const failWhereAsked = (): void => {
      if (failing.sql === null || !sql.startsWith(failing.sql)) return;
      throw full(database);
    };
    return {
      run: (...values) => {
        failWhereAsked();
        return statement.run(...values);
      },
      get: (...values) => {
        failWhereAsked();
        return statement.get(...values);
      },
      all: (...values) => statement.all(...values),
      release: () => statement.release(),
    };
  };
  return {
    name: real.name,
    open: (path) => {
      const database = real.open(path);
      return {
        path: database.path,
        exec: (sql) => {
          if (failing.sql !== null && sql.startsWith(failing.sql)) throw full(database);
          database.exec(sql);
        },
        prepare: (sql) => prepare(database, sql),
        close: () => database.close(),
      };
    },
  };
}

/** Closes the store, flips a bit in the file where `text` stands, and opens it again if asked to. */
export function flip(scene: Scene, text: string, open = true): void {
  scene.store.close();
  const bytes = readFileSync(scene.path);
  const offset = bytes.indexOf(text);
  assert.ok(offset >= 0, `${text} is in the file`);
  bytes[offset + 3] = must(bytes[offset + 3], "it is in the file") ^ 0x10;
  writeFileSync(scene.path, bytes);
  if (open) scene.store = opened(scene.path);
}

export function framed(command: Parameters<typeof encodeCommand>[0]): Uint8Array {
  const header = { origin: nodeId(1), session: 2, sequence: 3 };
  return frameCommand(header, encodeCommand(command));
}

export function opened(path: string, syncs: FileSyncs = systemSyncs): KeyValueStore {
  const result = KeyValueStore.open({ driver, path, syncs });
  if (!result.ok) throw new Error(result.damage.detail);
  return result.store;
}

export function withScene(run: (scene: Scene, other: Scene) => void): void {
  const { scene, other, end } = setScene();
  try {
    run(scene, other);
  } finally {
    end();
  }
}

/** For what goes on beside the test. */
export async function withSceneFor(run: (scene: Scene) => Promise<void>): Promise<void> {
  const { scene, end } = setScene();
  try {
    await run(scene);
  } finally {
    end();
  }
}

function setScene(): { scene: Scene; other: Scene; end: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "kv-store-"));
  const scene = new Scene(join(directory, "state.sqlite"));
  const other = new Scene(join(directory, "other.sqlite"));
  const end = (): void => {
    failing.sql = null;
    scene.store.close();
    other.store.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { scene, other, end };
}

export function assertDamaged(result: OpenResult, path: string, words: RegExp): void {
  if (result.ok) {
    result.store.close();
    throw new Error("it was opened");
  }
  assert.is(result.damage.path, path);
  assert.match(result.damage.detail, words);
}
