/**
 * Requests that are executed once. A client that did not hear the answer sends the request again, under
 * the same key of its own choice, and hears what the first one came to. What is remembered is part of
 * the replicated state: a function of the entries, the same on every replica, and it survives whatever
 * the rows survive. It is bounded: the oldest is forgotten first.
 */

import { assert, must } from "../raft/assert.ts";
import type { CommandResult, OnceCommand, PlainCommand } from "./command.ts";
import { decodeResult, encodeResult } from "./result-codec.ts";

/** Requests remembered at a time. */
export const requestsMax = 250_000;
/** Bytes of all of them, bookkeeping included. */
export const requestsBytesMax: number = 64 << 20;
/** How long one is answered again, by the log's time. */
export const requestKeptMs: number = 24 * 60 * 60 * 1000;
/** How long its key is known: until then it is refused, rather than executed a second time. */
export const requestKnownMs: number = 2 * requestKeptMs;
/** Bytes of values and keys in the results of one: they have to be remembered. */
export const onceResultBytesMax: number = 2 << 20;

/** What one costs besides its key and its answer. */
const requestOverheadBytes = 128;
/** Those that are known no longer are dropped so many at a time, so that no entry takes long. */
const expiredPerRequest = 64;

export interface RequestMark {
  /** 1 for the first request ever remembered, and so on without a gap. */
  readonly number: number;
  /** Log time of its entry. */
  readonly timeMs: number;
  /** Bytes of this one and of all before it, those forgotten included. */
  readonly bytesEver: number;
}

export interface RequestRecord extends RequestMark {
  readonly key: string;
  /** Of the request that the key stood for. */
  readonly fingerprint: Uint8Array;
  /** The result, as `encodeResult` writes it. */
  readonly answer: Uint8Array;
}

export interface RequestStore {
  /** Null where there is none. */
  readonly oldest: RequestMark | null;
  readonly newest: RequestMark | null;
  /** The newest that has this key. */
  find(key: string): RequestRecord | null;
  /** Its number is the next one. */
  add(record: RequestRecord): void;
  dropOldest(): void;
}

/** What this one costs of `requestsBytesMax`. */
export const requestBytes = ({ key, answer }: Pick<RequestRecord, "key" | "answer">): number =>
  // A key is ASCII.
  key.length + answer.byteLength + requestOverheadBytes;

/** `timeMs`: of the entry that carries it. `run` executes what is in it. */
export function executeOnce(
  requests: RequestStore,
  { requestKey: key, fingerprint, command }: OnceCommand,
  { timeMs, run }: { timeMs: number; run: (command: PlainCommand) => CommandResult },
): CommandResult {
  const known = requests.find(key);
  const ageMs = timeMs - (known?.timeMs ?? -Infinity);
  if (known !== null && ageMs < requestKnownMs) {
    if (!areEqual(known.fingerprint, fingerprint)) return { op: "mismatch", why: "other request" };
    if (ageMs >= requestKeptMs) return { op: "mismatch", why: "expired" };
    return must(decodeResult(known.answer), "what was remembered can be read");
  }
  const result = run(command);
  remember(requests, { key, fingerprint, timeMs, answer: encodeResult(result) });
  return result;
}

function remember(
  requests: RequestStore,
  request: Pick<RequestRecord, "key" | "fingerprint" | "timeMs" | "answer">,
): void {
  const bytes = requestBytes(request);
  makeRoom(requests, bytes, request.timeMs);
  const { number = 0, bytesEver = 0 } = requests.newest ?? {};
  const { key, fingerprint, timeMs, answer } = request;
  const mark = { number: number + 1, timeMs, bytesEver: bytesEver + bytes };
  requests.add({ ...mark, key, fingerprint, answer });
}

function makeRoom(requests: RequestStore, bytes: number, timeMs: number): void {
  let expired = 0;
  for (;;) {
    const { oldest, newest } = requests;
    if (oldest === null || newest === null) return;
    assert(oldest.number <= newest.number, "the oldest comes before the newest");
    const isOver = timeMs - oldest.timeMs >= requestKnownMs && expired < expiredPerRequest;
    const count = newest.number - oldest.number + 1;
    // The oldest one's own bytes are counted with those before it: one too few, which is no matter.
    const isFull =
      count >= requestsMax || newest.bytesEver - oldest.bytesEver + bytes > requestsBytesMax;
    if (!isOver && !isFull) return;
    if (isOver) expired++;
    requests.dropOldest();
  }
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}
