/** Sequential specifications of what kv stores: a register, with and without conditions, and a counter. */

import { AssertionError, unreachable } from "../../server/raft/assert.ts";
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";

export type RegisterInput =
  | { readonly kind: "put"; readonly value: string }
  | { readonly kind: "get" }
  | { readonly kind: "delete" };

/** `revision`s are positive integers. */
export type RegisterOutput =
  /** `created`: whether the key was absent; null where the answer did not say. */
  | { readonly kind: "put"; readonly revision: number; readonly created: boolean | null }
  | { readonly kind: "get"; readonly row: { value: string; revision: number } | null }
  /** `revision`: null where the answer did not say. */
  | { readonly kind: "delete"; readonly deleted: 0 | 1; readonly revision: number | null };

export type CompareAndSetInput =
  | RegisterInput
  /** Writes only if the row has this revision; null: only if the key is absent. */
  | { readonly kind: "putIf"; readonly value: string; readonly revision: number | null };

export type CompareAndSetOutput =
  /** A `putIf` that wrote answers as a put does. */
  | RegisterOutput
  /** It did not write. `revision`: the row's; null: the key is absent. */
  | { readonly kind: "conflict"; readonly revision: number | null };

/** One key, as far as it is known. */
export interface Row {
  /** null: absent. */
  readonly value: string | null;
  /** null: absent, or written by an operation whose revision nobody has seen. */
  readonly revision: number | null;
  /**
   * Every write gets a greater revision than those before it, so a revision that nobody has seen is
   * at least this, and the next one is greater. Equal to `revision` where that is known.
   */
  readonly revisionMin: number;
}

const noRow: Row = { value: null, revision: null, revisionMin: 0 };

/** Stands for every value that no read shows; a value of clients cannot be mistaken for it in earnest. */
const unreadValue = "\u0000a value that nobody read";

/** A write of unknown revision. */
function unseen(row: Row, value: string | null): Row {
  return { value, revision: null, revisionMin: row.revisionMin + 1 };
}

function written(row: Row, value: string, output: CompareAndSetOutput): Row | null {
  if (output.kind !== "put") throw mismatch(output);
  const { revision, created } = output;
  if (revision <= row.revisionMin) return null;
  if (created !== null && created !== (row.value === null)) return null;
  return { value, revision, revisionMin: revision };
}

/** The row, if it may be the one with this revision. */
function withRevision(row: Row, revision: number): Row | null {
  if (row.value === null) return null;
  if (row.revision !== null) return row.revision === revision ? row : null;
  if (revision < row.revisionMin) return null;
  return { value: row.value, revision, revisionMin: revision };
}

function put(row: Row, value: string, output: CompareAndSetOutput | null): Row | null {
  if (output !== null) return written(row, value, output);
  // Overwriting what nobody has seen with what nobody will see shows nowhere.
  if (value === unreadValue && row.value === value && row.revision === null) return null;
  return unseen(row, value);
}

/** Null also where the condition is not met and the outcome unknown: then it changes nothing. */
function putIf(
  row: Row,
  { value, revision: expected }: { value: string; revision: number | null },
  output: CompareAndSetOutput | null,
): Row | null {
  if (output?.kind === "conflict") {
    if (output.revision === expected) return null;
    if (output.revision === null) return row.value === null ? row : null;
    return withRevision(row, output.revision);
  }
  const matching =
    expected !== null ? withRevision(row, expected) : row.value === null ? row : null;
  if (matching === null) return null;
  return output === null ? unseen(matching, value) : written(matching, value, output);
}

function get(row: Row, output: CompareAndSetOutput | null): Row | null {
  if (output === null) return null;
  if (output.kind !== "get") throw mismatch(output);
  if (output.row === null) return row.value === null ? row : null;
  return row.value === output.row.value ? withRevision(row, output.row.revision) : null;
}

function remove(row: Row, output: CompareAndSetOutput | null): Row | null {
  // Deleting what is not there shows nowhere.
  if (output === null) return row.value === null ? null : unseen(row, null);
  if (output.kind !== "delete") throw mismatch(output);
  const { deleted, revision } = output;
  if (deleted !== (row.value === null ? 0 : 1)) return null;
  if (revision === null) return deleted === 1 ? unseen(row, null) : row;
  if (revision <= row.revisionMin) return null;
  return { value: null, revision: null, revisionMin: revision };
}

function mismatch(output: { readonly kind: string }): AssertionError {
  return new AssertionError(`an output "${output.kind}" belongs to an input of its kind`);
}

/**
 * kv's keys, with conditional writes. Revisions tie reads to writes: a read of a revision shows the
 * value of the write that got it, and revisions grow with every write to the key.
 *
 * Texts of states contain the value, so histories should use short values; and the more of them are
 * written only once, the less has to be guessed.
 */
export const compareAndSet: Model<Row, CompareAndSetInput, CompareAndSetOutput> = {
  initial: () => noRow,

  step(row, input, output) {
    switch (input.kind) {
      case "put":
        return put(row, input.value, output);
      case "putIf":
        return putIf(row, input, output);
      case "get":
        return get(row, output);
      case "delete":
        return remove(row, output);
      default:
        return unreachable(input);
    }
  },

  stateKey({ value, revision, revisionMin }) {
    if (value === null) return `absent since revision ${revisionMin}`;
    return `revision ${revision ?? `${revisionMin} or later`}: ${value}`;
  },

  describe(input, output) {
    return `${inputText(input)} → ${output === null ? "unknown" : outputText(output)}`;
  },

  isRead(_, output) {
    if (output.kind === "delete") return output.deleted === 0;
    return output.kind === "get" || output.kind === "conflict";
  },

  covers(one, other) {
    if (one.value !== other.value) return false;
    if (one.revision !== null) return one.revision === other.revision;
    return one.revisionMin <= other.revisionMin;
  },

  inputKey: inputText,
  ranks: (operations) => operations.map((operation) => rankOf(operation?.output ?? null)),
  resolve: resolveWrites,
};

/** kv's keys without conditional writes: the same object, of which less is asked. */
export const register: typeof compareAndSet = compareAndSet;

/** Writes in the order of their revisions, and what saw a revision between that and the next. */
function rankOf(output: CompareAndSetOutput | null): number | null {
  switch (output?.kind) {
    case undefined:
      return null;
    case "put":
    case "delete":
      return output.revision;
    case "get":
      return output.row === null ? null : output.row.revision + 0.5;
    case "conflict":
      return output.revision === null ? null : output.revision + 0.5;
    default:
      return unreachable(output);
  }
}

function inputText(input: CompareAndSetInput): string {
  switch (input.kind) {
    case "put":
      return `put ${JSON.stringify(input.value)}`;
    case "putIf": {
      const condition = input.revision === null ? "absent" : `revision ${input.revision}`;
      return `put ${JSON.stringify(input.value)} if ${condition}`;
    }
    case "get":
    case "delete":
      return input.kind;
    default:
      return unreachable(input);
  }
}

function outputText(output: CompareAndSetOutput): string {
  switch (output.kind) {
    case "put": {
      const change = output.created === null ? "written" : output.created ? "created" : "replaced";
      return `${change}, revision ${output.revision}`;
    }
    case "get":
      if (output.row === null) return "absent";
      return `${JSON.stringify(output.row.value)}, revision ${output.row.revision}`;
    case "delete": {
      const revision = output.revision === null ? "" : `, revision ${output.revision}`;
      return `deleted ${output.deleted}${revision}`;
    }
    case "conflict":
      return output.revision === null
        ? "conflict, absent"
        : `conflict, revision ${output.revision}`;
    default:
      return unreachable(output);
  }
}

type RowOperation = Operation<CompareAndSetInput, CompareAndSetOutput>;

/** Of one value: the revisions with which it was read but not known to be written, and when first. */
type UnownedReads = Map<number, number>;

/**
 * A write whose outcome the client does not know, but whose value somebody read, did happen, before
 * that read returned, and the read shows its revision; if only one write can be meant, it is as good as
 * known. A write whose value nobody read may still have happened, but with any other value it would
 * have been the same: all of those are alike. An unknown read changes nothing.
 */
function resolveWrites(operations: readonly RowOperation[]): (RowOperation | null)[] {
  const reads = unownedReads(operations);
  const writers = new Map<string, number>();
  for (const { input, output } of operations) {
    if (output !== null || !("value" in input)) continue;
    writers.set(input.value, (writers.get(input.value) ?? 0) + 1);
  }
  return operations.map((operation): RowOperation | null => {
    const { input, output, callTime } = operation;
    if (output !== null) return operation;
    if (input.kind === "get") return null;
    if (input.kind === "delete") return operation;
    const revisions = reads.get(input.value);
    if (revisions === undefined) return { ...operation, input: { ...input, value: unreadValue } };
    if (revisions.size !== 1 || writers.get(input.value) !== 1) return operation;
    const [[revision, returnTime] = [0, 0]] = revisions;
    if (returnTime < callTime) return operation;
    return { ...operation, output: { kind: "put", revision, created: null }, returnTime };
  });
}

function unownedReads(operations: readonly RowOperation[]): Map<string, UnownedReads> {
  const owned = new Set<number>();
  for (const { output } of operations) if (output?.kind === "put") owned.add(output.revision);
  const reads = new Map<string, UnownedReads>();
  for (const { output, returnTime } of operations) {
    if (output?.kind !== "get" || output.row === null || owned.has(output.row.revision)) continue;
    const { value, revision } = output.row;
    const revisions: UnownedReads = reads.get(value) ?? new Map<number, number>();
    revisions.set(revision, Math.min(returnTime, revisions.get(revision) ?? Infinity));
    reads.set(value, revisions);
  }
  return reads;
}

export type CounterInput =
  | { readonly kind: "incr"; readonly by: number }
  | { readonly kind: "get" };

/** The value after it. A counter that nobody has incremented is 0. */
export type CounterOutput = number;

/** A counter. Increments with an unknown outcome should be by few different amounts, none negative. */
export const counter: Model<number, CounterInput, CounterOutput> = {
  initial: () => 0,

  step(value, input, output) {
    const after = input.kind === "incr" ? value + input.by : value;
    return output === null || output === after ? after : null;
  },

  stateKey: String,

  describe(input, output) {
    const asked = input.kind === "incr" ? `incr by ${input.by}` : "get";
    return `${asked} → ${output ?? "unknown"}`;
  },

  isRead: (input) => input.kind === "get",

  inputKey: (input) => (input.kind === "incr" ? `incr ${input.by}` : "get"),

  /** A counter that only grows has its values in order. */
  ranks(operations) {
    const isGrowing = operations.every((one) => one?.input.kind !== "incr" || one.input.by >= 0);
    return operations.map((operation) => (isGrowing ? (operation?.output ?? null) : null));
  },
};

export type ExtremesInput =
  | { readonly kind: "max" | "min"; readonly value: number }
  | { readonly kind: "get" };

/** A number that `max` raises and `min` lowers, each to a value from 1 on; 0: nobody has written it. */
export const extremes: Model<number, ExtremesInput, number> = {
  initial: () => 0,

  step(value, input, output) {
    const after = afterExtreme(value, input);
    return output === null || output === after ? after : null;
  },

  stateKey: String,

  describe(input, output) {
    const asked = input.kind === "get" ? "get" : `${input.kind} ${input.value}`;
    return `${asked} → ${output ?? "unknown"}`;
  },

  isRead: (input) => input.kind === "get",

  inputKey: (input) => (input.kind === "get" ? "get" : `${input.kind} ${input.value}`),
};

function afterExtreme(before: number, input: ExtremesInput): number {
  if (input.kind === "get") return before;
  const { kind, value } = input;
  if (before === 0) return value;
  return kind === "max" ? Math.max(before, value) : Math.min(before, value);
}
