/** Executes commands on rows: a function of the rows and the command alone. */

import { assert, unreachable } from "../raft/assert.ts";
import type { Entry, Index } from "../raft/entry.ts";
import type { Command, CommandResult, PlainCommand, PutCommand } from "./command.ts";
import { expiredPerEntry } from "./deadlines.ts";
import { leaseOfKey } from "./hidden-rows.ts";
import { executeOnce, onceResultBytesMax, type RequestStore } from "./once.ts";
import type { Rows } from "./rows.ts";
import { transact } from "./transact.ts";
import { resultBytesMax, transactionOf } from "./transaction.ts";

/** `entry` is the one that carries the command. */
export function execute(
  rows: Rows,
  requests: RequestStore,
  { command, entry }: { command: Command; entry: Pick<Entry, "index" | "timeMs"> },
): CommandResult {
  const { index: revision, timeMs } = entry;
  rows.timeMs = timeMs;
  if (command.op === "expire") return expire(rows);
  if (command.op !== "once") return executePlain(rows, command, { revision, isOnce: false });
  const run = (plain: PlainCommand): CommandResult =>
    executePlain(rows, plain, { revision, isOnce: true });
  return executeOnce(requests, command, { timeMs, run });
}

/** As many as one entry may, those that are due first; a lease with all its keys. */
function expire(rows: Rows): CommandResult {
  const keys: string[] = [];
  while (keys.length < expiredPerEntry) {
    const { next } = rows.deadlines;
    if (next === null || next.timeMs >= rows.timeMs) break;
    const lease = leaseOfKey(next.key);
    const leased = lease === null ? [] : rows.leased.keysOf(lease);
    for (const key of [...leased, next.key]) {
      rows.remove(key, "expire");
      keys.push(key);
    }
  }
  return { op: "expired", keys };
}

/** A row with a deadline, which there may be too many of. */
function putFor(rows: Rows, command: PutCommand, revision: Index): CommandResult {
  const done = transact(rows, transactionOf([], command), {
    revision,
    resultBytesMax,
    countsKeys: false,
  });
  if (done.op === "failed") return done;
  const [put] = done.results;
  assert(put?.op === "put", "a put is answered as a put");
  return { op: "put", created: put.created, revision };
}

function executePlain(
  rows: Rows,
  command: PlainCommand,
  { revision, isOnce }: { readonly revision: Index; readonly isOnce: boolean },
): CommandResult {
  switch (command.op) {
    case "put":
      if (command.ttlMs !== undefined) return putFor(rows, command, revision);
      return { op: "put", created: rows.put(command, revision) === null, revision };
    case "delete":
      return { op: "delete", deleted: rows.remove(command.key) === null ? 0 : 1, revision };
    case "transaction":
      return transact(rows, command, {
        revision,
        resultBytesMax: isOnce ? onceResultBytesMax : resultBytesMax,
        countsKeys: isOnce,
      });
    default:
      return unreachable(command);
  }
}
