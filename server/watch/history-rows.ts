/** The history of changes as rows of plain values: in this form it outlives the process. */

import { index, type Index } from "../raft/entry.ts";
import type { Row } from "../state-machine/command.ts";
import type { SnapshotValue } from "../state-machine/port.ts";
import type { RowRevisions } from "../state-machine/rows.ts";
import { ChangeHistory, type Change, type HistoryBounds } from "./change-history.ts";

export type HistoryRow = readonly SnapshotValue[];

/** What a node remembers of the changes that led to its state. */
export interface Remembered {
  /** Of that state. */
  readonly appliedIndex: Index;
  /** Every change behind this revision is here. */
  readonly floor: Index;
  /** In order. */
  readonly rows: Iterable<HistoryRow>;
}

const rowColumns = 7;
const columns = 5 + 2 * rowColumns;

export function rememberedOf(history: ChangeHistory, appliedIndex: Index): Remembered {
  return { appliedIndex, floor: history.floor, rows: rowsOf(history) };
}

function* rowsOf(history: ChangeHistory): Generator<HistoryRow> {
  for (let place = history.firstPlace; place < history.nextPlace; place++) {
    const { type, key, revision, row, revisionsBefore, rowBefore } = history.at(place);
    const { revision: before = null, createRevision = null } = revisionsBefore ?? {};
    yield [type, key, revision, before, createRevision, ...valuesOf(row), ...valuesOf(rowBefore)];
  }
}

function valuesOf(row: Row | null): SnapshotValue[] {
  if (row === null) return Array.from({ length: rowColumns }, () => null);
  const { value, contentType, revision, createRevision } = row;
  const { expiresMs = null, ttlMs = null, lease = null } = row;
  return [value, contentType, revision, createRevision, expiresMs, ttlMs, lease];
}

/** Null where they are not what `rememberedOf` gave. */
export function historyOf(
  { appliedIndex, floor, rows }: Remembered,
  bounds: HistoryBounds,
): ChangeHistory | null {
  const history = new ChangeHistory(floor, bounds);
  let newest: number = floor;
  for (const row of rows) {
    const change = changeOf(row);
    if (change === null || change.revision > appliedIndex) return null;
    // Of the floor's own revision some may be left, which nobody is given.
    if (change.revision < newest) return null;
    newest = change.revision;
    history.add(change, change.revision);
  }
  history.trim();
  return history;
}

function changeOf(values: HistoryRow): Omit<Change, "placeBefore" | "bytes"> | null {
  const [type, key, revision, before = null, createRevision = null, ...rest] = values;
  if (values.length !== columns || typeof key !== "string" || !isRevision(revision)) return null;
  if (type !== "put" && type !== "delete" && type !== "expire") return null;
  const row = rowIn(key, rest.slice(0, rowColumns));
  const rowBefore = rowIn(key, rest.slice(rowColumns));
  if (row === undefined || rowBefore === undefined || (row === null) === (type === "put")) {
    return null;
  }
  const isNew = before === null && createRevision === null;
  if (!isNew && !(isRevision(before) && isRevision(createRevision))) return null;
  const revisionsBefore = isNew ? null : ({ revision: before, createRevision } as RowRevisions);
  return { type, key, revision: index(revision), row, revisionsBefore, rowBefore };
}

/** Undefined where it is none. */
function rowIn(key: string, values: HistoryRow): Row | null | undefined {
  if (values.every((value) => value === null)) return null;
  const [value, contentType, revision, createRevision, expiresMs, ttlMs, lease] = values;
  if (!(value instanceof Uint8Array) || !isRevision(revision) || !isRevision(createRevision)) {
    return undefined;
  }
  if (contentType !== null && typeof contentType !== "string") return undefined;
  const row = {
    key,
    value,
    contentType,
    revision: index(revision),
    createRevision: index(createRevision),
  };
  const lasting = { expiresMs, ttlMs, lease };
  for (const each of Object.values(lasting)) {
    if (each !== null && !isRevision(each)) return undefined;
  }
  const given = Object.entries(lasting).filter(([, each]) => each !== null);
  return { ...row, ...(Object.fromEntries(given) as Partial<Row>) };
}

const isRevision = (value: SnapshotValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
