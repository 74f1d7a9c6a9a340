/**
 * Transactions: conditions on rows, and operations that happen all or not at all, in one log entry.
 * Every write that is more than a plain put or delete is one of these.
 */

import type { Index } from "../raft/entry.ts";
import type { Row } from "./command.ts";
import type { KeyRange } from "./key-range.ts";

/** Conditions in one transaction. */
export const conditionsMax = 128;
/** Operations on either side of one transaction. */
export const operationsMax = 128;
/** Rows that one transaction deletes by ranges, and as many that it reads by ranges. */
export const rangeRowsMax = 10_000;
/** Bytes of the values that one transaction reads into its results or makes longer. */
export const resultBytesMax: number = 8 << 20;

interface About {
  readonly key: string;
  /** Turns the condition round. */
  readonly not: boolean;
}

export type Condition = About &
  (
    | { readonly kind: "exists" }
    /** A key without a row counts as revision 0. */
    | { readonly kind: "revision" | "createRevision"; readonly revision: number }
    /** A key without a row has no value, not even an empty one. */
    | { readonly kind: "value"; readonly value: Uint8Array }
    /** Of a queue, whose name is in `key`: who is in front has this token; 0: nobody is in it. */
    | { readonly kind: "holder"; readonly token: number }
  );

/** Numbers are of 64 bits, signed. A key without a row counts as 0, and takes any `max` or `min`. */
export type Operation =
  | {
      readonly op: "put";
      readonly key: string;
      readonly value: Uint8Array;
      readonly contentType: string | null;
      readonly ttlMs?: number;
      /** Goes with this one; not together with `ttlMs`. */
      readonly lease?: number;
    }
  /** The row's value stays, and its revision: it goes at another time. */
  | { readonly op: "touch"; readonly key: string; readonly ttlMs: number }
  | { readonly op: "delete" | "get" | "revision"; readonly key: string }
  | { readonly op: "getdel"; readonly key: string }
  /** `limit` null: all of them, or, where they are more than `rangeRowsMax`, nothing. */
  | { readonly op: "deleteRange"; readonly range: KeyRange; readonly limit: number | null }
  | { readonly op: "range"; readonly range: KeyRange; readonly limit: number }
  /** Refused where the result would leave `min` … `max`. */
  | {
      readonly op: "incr";
      readonly key: string;
      readonly by: bigint;
      readonly min: bigint | null;
      readonly max: bigint | null;
      /** Where there is no row yet. */
      readonly ttlMs?: number;
    }
  | { readonly op: "max" | "min"; readonly key: string; readonly value: bigint }
  | { readonly op: "append"; readonly key: string; readonly value: Uint8Array }
  | { readonly op: "leaseGrant"; readonly ttlMs: number }
  | { readonly op: "leaseRenew" | "leaseRevoke"; readonly lease: number }
  /** Of a queue, whose name is in `key`. */
  | {
      readonly op: "join";
      readonly key: string;
      readonly value: Uint8Array;
      /** Null: one is granted, for `ttlMs`. */
      readonly lease: number | null;
      readonly ttlMs: number;
      /** Otherwise nothing is done where others are in front. */
      readonly waits: boolean;
    }
  | { readonly op: "leave"; readonly key: string; readonly token: number }
  | {
      readonly op: "setValue";
      readonly key: string;
      readonly token: number;
      readonly value: Uint8Array;
    };

export interface Transaction {
  readonly op: "transaction";
  readonly conditions: readonly Condition[];
  /** Run where all conditions hold. */
  readonly then: readonly Operation[];
  /** Run otherwise. */
  readonly otherwise: readonly Operation[];
}

/** Does `operation` where `conditions` hold, and otherwise `instead`, where one is given. */
export const transactionOf = (
  conditions: readonly Condition[],
  operation: Operation,
  instead?: Operation,
): Transaction => ({
  op: "transaction",
  conditions,
  then: [operation],
  otherwise: instead === undefined ? [] : [instead],
});

export type OperationResult =
  | { readonly op: "put"; readonly created: boolean; readonly revision: Index }
  | { readonly op: "delete"; readonly deleted: 0 | 1 }
  | { readonly op: "deleteRange"; readonly deleted: number }
  | { readonly op: "get" | "getdel"; readonly row: Row | null }
  | { readonly op: "range"; readonly rows: readonly Row[]; readonly more: boolean }
  /** `revision`: the row's, which stays what it was where the value stays. */
  | { readonly op: "incr" | "max" | "min"; readonly value: bigint; readonly revision: Index }
  | { readonly op: "append"; readonly value: Uint8Array; readonly revision: Index }
  /** Null where there is no such row. */
  | { readonly op: "touch"; readonly row: Row | null }
  | { readonly op: "revision"; readonly revision: Index | null }
  | { readonly op: "leaseGrant"; readonly lease: Index }
  | { readonly op: "leaseRenew"; readonly ttlMs: number }
  | { readonly op: "leaseRevoke"; readonly deleted: number }
  /** Null where it did not want to wait. */
  | {
      readonly op: "join";
      readonly token: Index | null;
      readonly lease: number | null;
      readonly isFirst: boolean;
    }
  | { readonly op: "leave"; readonly left: boolean }
  | { readonly op: "setValue"; readonly revision: Index };

export interface TransactionResult {
  readonly op: "transaction";
  /** Whether the conditions held. */
  readonly succeeded: boolean;
  /** One for each operation of the side that ran. */
  readonly results: readonly OperationResult[];
  readonly revision: Index;
}

/** Nothing of the transaction happened: the same on every replica. */
export interface FailedResult {
  readonly op: "failed";
  /** `not_found`: a lease, or a place in a queue. */
  readonly code: "conflict" | "too_large" | "not_found";
  readonly detail: string;
  /** Of the operation that could not be done, among those of its side. */
  readonly position: number;
}
