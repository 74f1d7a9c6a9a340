/** What the replicated log is made of: terms, indexes, entries, and the state a node must never forget. */

declare const brand: unique symbol;

/** Names a member of the cluster: 1 … 2^32 − 1. Never reused for another machine's data. */
export type NodeId = number & { readonly [brand]: "NodeId" };

/** A logical clock (Raft §5.1): at most one leader per term. 0 before the first election. */
export type Term = number & { readonly [brand]: "Term" };

/** A position in the log, from 1. 0 is the place before the first entry, whose term is 0. */
export type Index = number & { readonly [brand]: "Index" };

export const nodeId = (value: number): NodeId => value as NodeId;
export const term = (value: number): Term => value as Term;
export const index = (value: number): Index => value as Index;

/**
 * - `command`: for the state machines; the core does not look inside.
 * - `noop`: a new leader's first entry (thesis §6.4); it commits what earlier terms left behind.
 * - `configuration`: the member list from here on, as `encodeConfiguration` writes it.
 */
export type EntryKind = "command" | "noop" | "configuration";

/**
 * One record of the replicated log. The pair (index, term) determines all other fields for ever,
 * on every node (log matching, Raft §5.3).
 */
export interface Entry {
  readonly index: Index;
  readonly term: Term;
  readonly kind: EntryKind;
  /** The proposing leader's log time in milliseconds: never smaller than its predecessor's. */
  readonly timeMs: number;
  readonly data: Uint8Array;
}

/** Bytes an entry is counted with where a limit is in bytes: its data and a record header. */
export const entryBytes = (entry: Entry): number => entry.data.byteLength + 48;

/**
 * What a node must have on disk before it says anything that depends on it (Raft figure 2,
 * "persistent state"). The log itself is the third part.
 */
export interface HardState {
  readonly term: Term;
  /** Whom this node voted for in `term`; a second vote in the same term would elect two leaders. */
  readonly vote: NodeId | null;
}
