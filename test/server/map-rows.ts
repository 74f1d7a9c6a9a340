/** Rows in a map, for machines and stores of tests. */

import type { Index } from "../../server/raft/entry.ts";
import type { CommandResult, Command, Row } from "../../server/state-machine/command.ts";
import { compareKeys, type KeyRange } from "../../server/state-machine/key-range.ts";
import type { NewRow, RowRevisions, Rows, ScanOptions } from "../../server/state-machine/rows.ts";
import { transact } from "../../server/state-machine/transact.ts";

export class MapRows implements Rows {
  readonly #rows: Map<string, Row>;
  readonly #changed: (key: string, before: Row | null, after: Row | null) => void;

  constructor(
    rows: Map<string, Row>,
    changed: (key: string, before: Row | null, after: Row | null) => void = () => {},
  ) {
    this.#rows = rows;
    this.#changed = changed;
  }

  revisions(key: string): RowRevisions | null {
    return this.get(key);
  }

  get(key: string): Row | null {
    return this.#rows.get(key) ?? null;
  }

  scan({ start, end }: KeyRange, { reverse, keysOnly }: ScanOptions): Row[] {
    const sign = reverse ? -1 : 1;
    return [...this.#rows.values()]
      .filter(({ key }) => compareKeys(key, start) >= 0 && compareKeys(key, end) < 0)
      .sort((a, b) => sign * compareKeys(a.key, b.key))
      .map((row) => (keysOnly ? { ...row, value: new Uint8Array() } : row));
  }

  put({ key, value, contentType }: NewRow, revision: Index): RowRevisions | null {
    const before = this.get(key);
    const createRevision = before?.createRevision ?? revision;
    const after = { key, value: value.slice(), contentType, revision, createRevision };
    this.#rows.set(key, after);
    this.#changed(key, before, after);
    return before;
  }

  remove(key: string): RowRevisions | null {
    const before = this.get(key);
    if (before === null) return null;
    this.#rows.delete(key);
    this.#changed(key, before, null);
    return before;
  }

  do(command: Command, revision: Index): CommandResult {
    return commanded(this, command, revision);
  }
}

/** What the command does to the rows, and answers. */
export function commanded(rows: Rows, command: Command, revision: Index): CommandResult {
  switch (command.op) {
    case "put":
      return { op: "put", created: rows.put(command, revision) === null, revision };
    case "delete":
      return { op: "delete", deleted: rows.remove(command.key) === null ? 0 : 1, revision };
    case "transaction":
      return transact(rows, command, revision);
  }
}
