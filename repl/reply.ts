/** Asks the store what a command asks for, and has the answer ready in every form it is shown in. */

import type {
  AtomicAnswer,
  AtomicOperation,
  ClientPort,
  Failure,
  GetAnswer,
  ListAnswer,
  ReadOptions,
  TransactionAnswer,
} from "../server/client-port.ts";
import type { MembersAnswer } from "../server/cluster-port.ts";
import { getChanged, type Wait } from "../server/long-poll.ts";
import { keyJson, rowJson, valueJson } from "../server/json-row.ts";
import { unreachable } from "../server/raft/assert.ts";
import type { Row } from "../server/state-machine/command.ts";
import { resultJson } from "../server/transaction-json.ts";
import {
  renderAtomic,
  renderCount,
  renderDelete,
  renderDeleteRange,
  renderGet,
  renderList,
  renderMembers,
  renderPut,
  renderStatus,
  renderTime,
  renderTransaction,
  renderCompacted,
  renderTransfer,
} from "./answers.ts";
import type { Question } from "./parser.ts";
import { renderKey, renderLine, renderListedValue } from "./render.ts";
import { reply, type Reply } from "./reply-forms.ts";
import { askSession } from "./session-reply.ts";
import type { Table } from "./table.ts";

type Good<T extends { readonly ok: boolean }> = Extract<T, { readonly ok: true }>;

/** What the store says to it; `signal` ends the wait. */
export async function ask(
  store: ClientPort,
  question: Question,
  signal?: AbortSignal,
): Promise<Reply | Failure> {
  const until = signal === undefined ? {} : { signal };
  switch (question.name) {
    case "put": {
      const { key, value, options } = question;
      const answer = await store.put(key, value, { ...options, ...until });
      if (!answer.ok) return answer;
      const { created, revision } = answer;
      return reply(() => renderPut(answer), { key, created, revision });
    }
    case "get": {
      const { key, wait } = question;
      const options = { ...question.options, ...until };
      if (wait !== undefined) return askWaiting(store, key, { wait, options });
      const answer = await store.get(key, options);
      return answer.ok ? getReply(key, answer) : answer;
    }
    case "del": {
      const { key, options } = question;
      const answer = await store.delete(key, { ...options, ...until });
      if (!answer.ok) return answer;
      const { deleted, revision } = answer;
      if (deleted === 0) return notFound(key);
      return reply(() => renderDelete(answer), { key, deleted, revision });
    }
    case "list": {
      const answer = await store.list({ ...question.options, ...until });
      return answer.ok ? listReply(question.options, answer) : answer;
    }
    case "count": {
      const answer = await store.count({ ...question.options, ...until });
      if (!answer.ok) return answer;
      const { count, revision } = answer;
      return reply(() => renderCount(answer), { count, revision });
    }
    case "delrange": {
      const { selection, options } = question;
      const answer = await store.deleteRange(selection, { ...options, ...until });
      if (!answer.ok) return answer;
      const { deleted, revision } = answer;
      return reply(() => renderDeleteRange(answer), { deleted, revision });
    }
    case "atomic": {
      const { operation, options } = question;
      const answer = await store.atomic(operation, { ...options, ...until });
      return answer.ok ? atomicReply(operation, answer) : answer;
    }
    case "txn": {
      const answer = await store.transact(question.transaction, { ...question.options, ...until });
      return answer.ok ? transactionReply(answer) : answer;
    }
    case "status": {
      const answer = await store.status();
      return answer.ok ? reply(() => renderStatus(answer), answer.status) : answer;
    }
    case "member": {
      const { change } = question;
      const answer = await (change === null ? store.members() : store.changeMembers(change));
      return answer.ok ? membersReply(answer) : answer;
    }
    case "transfer": {
      const answer = await store.transferLeadership(question.to);
      if (!answer.ok) return answer;
      return reply(() => renderTransfer(answer), { leader: answer.leader });
    }
    case "compact": {
      const answer = await store.compact(question.revision);
      if (!answer.ok) return answer;
      return reply(() => renderCompacted(answer.compacted), answer.compacted);
    }
    case "lease":
    case "lock":
    case "election":
      return askSession(store, question, until);
    default:
      return unreachable(question);
  }
}

const notFound = (key: string): Reply =>
  reply(() => "not found", { key, found: false }, { isNo: true });

async function askWaiting(
  store: ClientPort,
  key: string,
  { wait, options }: { readonly wait: Wait; readonly options: ReadOptions },
): Promise<Reply | Failure> {
  const over = AbortSignal.timeout(wait.ms);
  const { after } = wait;
  const before = after === undefined ? await store.get(key, options) : null;
  if (before !== null && !before.ok) return before;
  const found = await getChanged(store, key, { wait, options });
  const unchanged = reply(() => "unchanged", { key, changed: false }, { isNo: true });
  if (found.kind === "unchanged") return unchanged;
  if (found.answer.ok) return getReply(key, found.answer);
  if (!over.aborted) return found.answer;
  // No watch came about in time: what there is now tells as much as it would have.
  const now = await store.get(key, options);
  if (!now.ok) return now;
  const revision = now.row?.revision ?? 0;
  // Nobody knows whether there was a row at `after`; there is none now.
  const isNew =
    before === null
      ? now.row === null || revision > (after ?? 0)
      : revision !== (before.row?.revision ?? 0);
  return isNew ? getReply(key, now) : unchanged;
}

function getReply(key: string, answer: Good<GetAnswer>): Reply {
  const { row } = answer;
  if (row === null) return notFound(key);
  const { ttlMs } = row;
  // A reader that is no person takes what is printed for the value.
  const goes = ttlMs === undefined ? "" : `\n(goes in ${renderTime(ttlMs)})`;
  const text: Reply["text"] = (columns) => renderGet(answer) + (columns === null ? "" : goes);
  return reply(text, rowJson(row), {
    table: () => tableOf([row]),
    bytes: row.value,
  });
}

function listReply(
  { keysOnly = false, delimiter }: { readonly keysOnly?: boolean; readonly delimiter?: string },
  answer: Good<ListAnswer>,
): Reply {
  const { rows, prefixes, more, last, revision } = answer;
  const json = {
    rows: rows.map(keysOnly ? keyJson : rowJson),
    ...(delimiter === undefined ? {} : { prefixes }),
    more,
    // What `--after` takes.
    ...(more && last !== null ? { after: last } : {}),
    revision,
  };
  return reply((columns) => renderList(answer, { columns, keysOnly }), json, {
    table: () => tableOf(rows, { keysOnly, prefixes }),
  });
}

function tableOf(
  rows: readonly Row[],
  {
    keysOnly = false,
    prefixes = [],
  }: { readonly keysOnly?: boolean; readonly prefixes?: readonly string[] } = {},
): Table {
  const isAnyLeaving = rows.some(({ ttlMs }) => ttlMs !== undefined);
  const header = [
    "key",
    ...(keysOnly ? [] : ["value"]),
    "revision",
    ...(isAnyLeaving ? ["goes in"] : []),
  ];
  const cells = rows.map(({ key, value, revision, ttlMs }) => [
    renderKey(key),
    ...(keysOnly ? [] : [renderListedValue(value)]),
    String(revision),
    ...(ttlMs === undefined ? [] : [renderTime(ttlMs)]),
  ]);
  return { header, rows: [...prefixes.map((prefix) => [renderKey(prefix)]), ...cells] };
}

function atomicReply(operation: AtomicOperation, answer: Good<AtomicAnswer>): Reply {
  const { key } = operation;
  const { result, revision } = answer;
  if (operation.op === "touch" && result.op === "touch") {
    if (result.row === null) return notFound(key);
    const { ttlMs } = operation;
    return reply(() => `goes in ${renderTime(ttlMs)}`, {
      key,
      revision: result.row.revision,
      ttlMs,
    });
  }
  if (result.op === "getdel") {
    const { row } = result;
    if (row === null) return notFound(key);
    const contentType = row.contentType ?? undefined;
    const json = { key, ...valueJson(row.value), contentType, deleted: 1, revision };
    return reply(() => renderAtomic(answer), json, {
      table: () => tableOf([row]),
      bytes: row.value,
    });
  }
  const json = { key, ...(resultJson(result) as object), revision };
  return reply(() => renderAtomic(answer), json);
}

function transactionReply(answer: Good<TransactionAnswer>): Reply {
  const { succeeded, results, revision } = answer;
  const json = { succeeded, results: results.map(resultJson), revision };
  // For a script it is a question with two answers, as a missing key is.
  return reply(() => renderTransaction(answer), json, { isNo: !succeeded });
}

function membersReply(answer: Good<MembersAnswer>): Reply {
  const { members, revision } = answer;
  const rows = members.map(({ id, role, raft, http }) => [
    String(id),
    role,
    renderLine(raft),
    renderLine(http),
  ]);
  const table = () => ({ header: ["id", "role", "raft", "http"], rows });
  return reply(() => renderMembers(answer), { members, revision }, { table });
}
