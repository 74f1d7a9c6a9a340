/** Executes commands on rows: a function of the rows and the command alone. */

import { unreachable } from "../raft/assert.ts";
import type { Entry, Index } from "../raft/entry.ts";
import type { Command, CommandResult, PlainCommand } from "./command.ts";
import { executeOnce, onceResultBytesMax, type RequestStore } from "./once.ts";
import type { Rows } from "./rows.ts";
import { transact } from "./transact.ts";
import { resultBytesMax } from "./transaction.ts";

/** `entry` is the one that carries the command. */
export function execute(
  rows: Rows,
  requests: RequestStore,
  { command, entry }: { command: Command; entry: Pick<Entry, "index" | "timeMs"> },
): CommandResult {
  const { index: revision, timeMs } = entry;
  if (command.op !== "once") return executePlain(rows, command, { revision, isOnce: false });
  const run = (plain: PlainCommand): CommandResult =>
    executePlain(rows, plain, { revision, isOnce: true });
  return executeOnce(requests, command, { timeMs, run });
}

function executePlain(
  rows: Rows,
  command: PlainCommand,
  { revision, isOnce }: { readonly revision: Index; readonly isOnce: boolean },
): CommandResult {
  switch (command.op) {
    case "put":
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
