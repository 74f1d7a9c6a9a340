/** Runs one line against the store and says what to print; the terminal and the pipe share it. */

import type { ClientPort } from "../server/client-port.ts";
import { unreachable } from "../server/raft/assert.ts";
import {
  renderAtomic,
  renderDelete,
  renderDeleteRange,
  renderGet,
  renderList,
  renderMembers,
  renderProblem,
  renderPut,
  renderStatus,
  renderTransaction,
  renderTransfer,
} from "./answers.ts";
import { watch } from "./watch.ts";
import { helpText } from "./help.ts";
import { parseLine } from "./parser.ts";
import type { ReplCommand } from "./parser.ts";

/** Rows that one `list` shows. */
export const listRowsMax = 1_000;

/** `text` is null where there is nothing to say: a blank line, `exit`. */
export interface Execution {
  readonly text: string | null;
  readonly exit: boolean;
}

export interface ExecuteOptions {
  /**
   * When it aborts, the answer is no longer waited for; what it says then is honest about a write that
   * is already under way.
   */
  readonly signal?: AbortSignal;
  /** Shows what comes before the end; where there is none, nothing can be watched. */
  readonly print?: (text: string) => Promise<void>;
  /** Of the terminal that the answer is for; null where it is for none. */
  readonly columns: number | null;
}

export async function execute(
  store: ClientPort,
  line: string,
  options: ExecuteOptions,
): Promise<Execution> {
  const { signal, columns } = options;
  const parsed = parseLine(line);
  if (!parsed.ok) return { text: renderProblem(parsed), exit: false };
  const command = parsed.command;
  if (command === null) return { text: null, exit: false };
  if (command.name === "exit") return { text: null, exit: true };
  if (command.name === "watch") return { text: await watch(store, command, options), exit: false };
  const answer = ask(store, command, { columns, ...(signal && { signal }) });
  const text = await (signal === undefined
    ? answer
    : Promise.race([answer, given(signal, command)]));
  return { text, exit: false };
}

type Question = Exclude<ReplCommand, { readonly name: "exit" | "watch" }>;

async function ask(
  store: ClientPort,
  command: Question,
  { signal, columns }: ExecuteOptions,
): Promise<string> {
  const options = signal === undefined ? {} : { signal };
  switch (command.name) {
    case "put":
      return renderPut(await store.put(command.key, command.value, options));
    case "get":
      return renderGet(await store.get(command.key, options));
    case "del":
      return renderDelete(await store.delete(command.key, options));
    case "list":
      return renderList(
        await store.list({ prefix: command.prefix, limit: listRowsMax, ...options }),
        columns,
      );
    case "incr": {
      const { key, by } = command;
      const operation = { op: "incr", key, by, min: null, max: null } as const;
      return renderAtomic(await store.atomic(operation, options));
    }
    case "delrange":
      return renderDeleteRange(await store.deleteRange({ prefix: command.prefix }, options));
    case "txn":
      return renderTransaction(await store.transact(command.transaction, options));
    case "status":
      return renderStatus(await store.status());
    case "member":
      return renderMembers(
        await (command.change === null ? store.members() : store.changeMembers(command.change)),
      );
    case "transfer":
      return renderTransfer(await store.transferLeadership(command.to));
    case "help":
      return helpText(command.command);
    default:
      return unreachable(command);
  }
}

/** Resolves when the person gives up waiting. */
function given(signal: AbortSignal, command: Question): Promise<string> {
  const text = `error: interrupted${doubtOf(command)}`;
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(text), { once: true });
  });
}

function doubtOf(command: Question): string {
  switch (command.name) {
    case "put":
    case "del":
    case "incr":
    case "delrange":
    case "txn":
      return "; the write may have happened: get the key to see";
    case "member":
      return command.change === null ? "" : "; it may have happened: member list shows it";
    case "transfer":
      return "; it may have happened: status shows it";
    default:
      return "";
  }
}
