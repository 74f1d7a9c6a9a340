/**
 * The vocabulary of the key-value state machine: commands that go through the log, queries that do
 * not, and what each one answers.
 */

import type { Index } from "../raft/entry.ts";
import type { KeyRange } from "./key-range.ts";
import type { FailedResult, Transaction, TransactionResult } from "./transaction.ts";

/** Limits of a single row, in bytes of UTF-8 for the texts. */
export const keyBytesMax = 2048;
export const valueBytesMax = 1_048_576;
export const contentTypeBytesMax = 255;

export interface PutCommand {
  readonly op: "put";
  /** 1 … `keyBytesMax` bytes of UTF-8 without NUL. */
  readonly key: string;
  readonly value: Uint8Array;
  /** Null where the writer named none. */
  readonly contentType: string | null;
  /** From the entry's log time on; without it the row stays. */
  readonly ttlMs?: number;
}

/** Lets go of rows whose time is over; the leader's own. */
export interface ExpireCommand {
  readonly op: "expire";
}

/** Ten years: who wants more wants none. */
export const ttlMsMax: number = 10 * 365 * 24 * 60 * 60 * 1000;

export interface DeleteCommand {
  readonly op: "delete";
  readonly key: string;
}

/** What is done, without regard to who asked for it how often. */
export type PlainCommand = PutCommand | DeleteCommand | Transaction;

/** Executed at most once under its key, however often it comes (see `once.ts`). */
export interface OnceCommand {
  readonly op: "once";
  /** The client's: 1 … `requestKeyBytesMax` printable ASCII characters. */
  readonly requestKey: string;
  /** Tells the request from others that come under the same key; `fingerprintBytes` long. */
  readonly fingerprint: Uint8Array;
  readonly command: PlainCommand;
}

export const requestKeyBytesMax = 255;
export const fingerprintBytes = 32;

export type Command = PlainCommand | OnceCommand | ExpireCommand;

export interface PutResult {
  readonly op: "put";
  readonly created: boolean;
  readonly revision: Index;
}

export interface DeleteResult {
  readonly op: "delete";
  readonly deleted: 0 | 1;
  readonly revision: Index;
}

/** The entry's bytes are no command this version knows: the same refusal on every replica. */
export interface RefusedResult {
  readonly op: "refused";
  readonly detail: string;
}

export interface ExpiredResult {
  readonly op: "expired";
  readonly keys: readonly string[];
}

/** The request's key stands for another request, or for one too long ago. Nothing was done. */
export interface MismatchResult {
  readonly op: "mismatch";
  readonly why: "other request" | "expired";
}

export type CommandResult =
  | PutResult
  | DeleteResult
  | TransactionResult
  | FailedResult
  | ExpiredResult
  | MismatchResult
  | RefusedResult;

export interface Row {
  readonly key: string;
  readonly value: Uint8Array;
  readonly contentType: string | null;
  /** The index of the entry that last wrote the row. */
  readonly revision: Index;
  /** The index of the entry that created it. */
  readonly createRevision: Index;
  /** Log time at which it goes. */
  readonly expiresMs?: number;
  /** What is left until then. */
  readonly ttlMs?: number;
  /** The lease with which it goes; then it has no time of its own. */
  readonly lease?: number;
}

export interface GetQuery {
  readonly type: "get";
  readonly key: string;
}

/** Rows of a range, in byte order of the keys. */
export interface ListQuery {
  readonly type: "list";
  readonly range: KeyRange;
  /** Only keys behind this one (before it where the order is reversed); null from the start. */
  readonly after: string | null;
  readonly reverse: boolean;
  /** Rows and groups at the most, from 1. */
  readonly limit: number;
  /** Leaves the values out (empty bytes in the rows). */
  readonly keysOnly: boolean;
  /** Stop before the values of the answer exceed this many bytes (at least one row is given). */
  readonly bytesMax: number;
  /** Keys that go on with something and `delimiter` behind `prefix` are given as one group; null: none. */
  readonly groups: { readonly prefix: string; readonly delimiter: string } | null;
  /** Rows that are gone, and are passed over at a time. */
  readonly goneMax?: number;
}

/** How many rows a range has. */
export interface CountQuery {
  readonly type: "count";
  readonly range: KeyRange;
  /** Rows counted at a time. */
  readonly limit: number;
  /** Rows that are gone, and are passed over at a time. */
  readonly goneMax?: number;
}

export type Query = GetQuery | ListQuery | CountQuery;

export interface GetAnswer {
  readonly type: "get";
  readonly row: Row | null;
}

export interface ListAnswer {
  readonly type: "list";
  readonly rows: Row[];
  /** The beginnings, delimiter included, that the keys of each group share. */
  readonly prefixes: string[];
  /** More follows. */
  readonly more: boolean;
  /** The key or group that was given last, to go on after; null where nothing was. */
  readonly last: string | null;
  /** Of the range, where so many rows were gone that the listing is to go on with this; null otherwise. */
  readonly rest: KeyRange | null;
}

export interface CountAnswer {
  readonly type: "count";
  readonly count: number;
  /** The rest of the range, to be counted next; null where this was all of it. */
  readonly rest: KeyRange | null;
}

export type Answer = GetAnswer | ListAnswer | CountAnswer;
