/** What the store answered, as the lines a person reads. */

import type {
  AtomicAnswer,
  CountAnswer,
  DeleteAnswer,
  DeleteRangeAnswer,
  Failure,
  GetAnswer,
  ListAnswer,
  MemberStatus,
  PutAnswer,
  Result,
  Status,
  TransactionAnswer,
} from "../server/client-port.ts";
import type { Compacted, MembersAnswer } from "../server/cluster-port.ts";
import type { NodeId } from "../server/raft/entry.ts";
import { unreachable } from "../server/raft/assert.ts";
import type { Row } from "../server/state-machine/command.ts";
import type { OperationResult } from "../server/state-machine/transaction.ts";
import type { WatchEvent } from "../server/watch/watch-port.ts";
import { shortenedTo } from "./display.ts";
import { renderKey, renderLine, renderListedValue, renderValue } from "./render.ts";
import type { Problem } from "./words.ts";

export function renderPut(answer: PutAnswer): string {
  if (!answer.ok) return renderFailure(answer);
  return `${answer.created ? "created" : "replaced"}, revision ${answer.revision}`;
}

export function renderDelete(answer: DeleteAnswer): string {
  if (!answer.ok) return renderFailure(answer);
  return answer.deleted === 1 ? `deleted, revision ${answer.revision}` : "not found";
}

export function renderDeleteRange(answer: DeleteRangeAnswer): string {
  if (!answer.ok) return renderFailure(answer);
  return `deleted ${answer.deleted}, revision ${answer.revision}`;
}

export function renderAtomic(answer: AtomicAnswer): string {
  if (!answer.ok) return renderFailure(answer);
  return renderResult(answer.result);
}

/** Which side ran, and what came of each of its operations. */
export function renderTransaction(answer: TransactionAnswer): string {
  if (!answer.ok) return renderFailure(answer);
  const { succeeded, results, revision } = answer;
  const side = succeeded ? "then" : "else";
  return [`${side}, revision ${revision}`, ...results.map(renderResult)].join("\n");
}

function renderResult(result: OperationResult): string {
  switch (result.op) {
    case "put":
      return "put";
    case "delete":
    case "deleteRange":
      return `deleted ${result.deleted}`;
    case "get":
    case "getdel":
    case "touch":
      return result.row === null ? "not found" : renderValue(result.row.value);
    case "range": {
      const rows = result.rows.map((row) => renderRow(row));
      return [...rows, `(${rows.length}${result.more ? ", and more follow" : ""})`].join("\n");
    }
    case "incr":
    case "max":
    case "min":
      return result.value.toString();
    case "append":
      return renderValue(result.value);
    case "revision":
    case "setValue":
      return String(result.revision);
    case "leaseGrant":
    case "leaseRenew":
    case "leaseRevoke":
    case "join":
    case "leave":
      return result.op;
    default:
      return unreachable(result);
  }
}

const renderRow = (row: Row, shownKey = renderKey): string =>
  `${shownKey(row.key)} = ${renderListedValue(row.value)}`;

export function renderGet(answer: GetAnswer): string {
  if (!answer.ok) return renderFailure(answer);
  return answer.row === null ? "not found" : renderValue(answer.row.value);
}

/** One line; null where nothing has changed. */
export function renderEvent(event: WatchEvent): string | null {
  if (event.type === "progress") return null;
  const { type, key, row, revision, before } = event;
  const value = row === null ? "" : ` = ${renderListedValue(row.value)}`;
  const was = before === null ? "" : ` (was ${renderListedValue(before.value)})`;
  return `${revision} ${type} ${renderKey(key)}${value}${was}`;
}

/** Of a key in a listing, however narrow the terminal is. */
const keyColumnsMin = 20;

export interface ListForm {
  /** Of the terminal, on which a key takes half a row at the most; null: each is there as a whole. */
  readonly columns: number | null;
  readonly keysOnly?: boolean;
}

/** Prefixes, `key = value` for each row, then the count; says so when the listing goes on. */
export function renderList(answer: ListAnswer, { columns, keysOnly = false }: ListForm): string {
  if (!answer.ok) return renderFailure(answer);
  const keyColumns = columns === null ? null : Math.max(keyColumnsMin, Math.floor(columns / 2));
  const shownKey = (key: string): string => {
    const text = renderKey(key);
    return keyColumns === null ? text : shortenedTo(text, keyColumns);
  };
  const rows = answer.rows.map((row) => (keysOnly ? shownKey(row.key) : renderRow(row, shownKey)));
  const groups = answer.prefixes.map((prefix) => `${shownKey(prefix)} …`);
  const count = counted(rows.length, "key", "keys");
  const also = groups.length === 0 ? "" : `, ${counted(groups.length, "prefix", "prefixes")}`;
  const more =
    answer.more && answer.last !== null
      ? `, and more follow: --after ${renderKey(answer.last)}`
      : "";
  return [...groups, ...rows, `(${count}${also}${more})`].join("\n");
}

export const counted = (count: number, one: string, many: string): string =>
  `${count} ${count === 1 ? one : many}`;

export function renderCount(answer: CountAnswer): string {
  return answer.ok ? String(answer.count) : renderFailure(answer);
}

export function renderStatus(answer: Result<{ readonly status: Status }>): string {
  if (!answer.ok) return renderFailure(answer);
  const status = answer.status;
  const leader = status.leaderId === null ? "none known" : `node ${status.leaderId}`;
  const cluster = status.clusterId === null ? "not formed yet" : renderLine(status.clusterId);
  return [
    `node      ${status.nodeId}, ${status.role} in term ${status.term}`,
    `leader    ${leader}`,
    `cluster   ${cluster}`,
    `log       entries ${status.firstLogIndex} to ${status.lastLogIndex}`,
    `snapshot  at ${status.snapshotIndex}`,
    `applied   ${status.appliedIndex} of ${status.commitIndex} committed`,
    `state     ${renderLine(status.stateHash)}`,
    ...(status.mending === null ? [] : renderMending(status.mending)),
    renderDisk(status.disk),
    `version   ${renderLine(status.version)}, up ${renderDuration(status.uptimeSeconds)}`,
    ...status.members.map((member) => renderMember(member, status)),
  ].join("\n");
}

function renderDisk({ freeBytes, state }: Status["disk"]): string {
  const free = `disk      ${Math.floor(freeBytes / 2 ** 20)} MiB free`;
  return state === "ok" ? free : `${free}: too little, so the cluster refuses writes`;
}

function renderMending({ log, state }: NonNullable<Status["mending"]>): string[] {
  const lines = [];
  if (log !== null) lines.push(`mending   the log: ${renderLine(log)}`);
  if (state !== null) lines.push(`mending   the state: ${renderLine(state)}`);
  return lines;
}

function renderMember(member: MemberStatus, status: Status): string {
  const words = [`member    ${member.id}, ${member.role}`];
  words.push(`raft ${renderLine(member.raft)}`, `http ${renderLine(member.http)}`);
  if (member.id === status.nodeId) words.push("this node");
  else if (member.reachable !== undefined) {
    words.push(member.reachable ? "connected" : "not connected");
  }
  if (member.match !== undefined) words.push(`has entries to ${member.match}`);
  return words.join(", ");
}

export function renderMembers(answer: MembersAnswer): string {
  if (!answer.ok) return renderFailure(answer, "cluster");
  const lines = answer.members.map(({ id, role, raft, http, incarnation }) => {
    const words = [`member    ${id}, ${role}`];
    words.push(`raft ${renderLine(raft)}`, `http ${renderLine(http)}`);
    if (incarnation === null) words.push("its machine has not come yet");
    return words.join(", ");
  });
  const count = `${lines.length} ${lines.length === 1 ? "member" : "members"}`;
  return [...lines, `(${count}, revision ${answer.revision})`].join("\n");
}

export function renderTransfer(answer: Result<{ readonly leader: NodeId }>): string {
  return answer.ok ? `node ${answer.leader} leads` : renderFailure(answer, "cluster");
}

export const renderCompacted = (compacted: Compacted): string =>
  `node ${compacted.nodeId}: the log begins at ${compacted.firstLogIndex}, ` +
  `watches can begin behind ${compacted.oldestRevision}`;

function renderDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Of what is left of a row's time: exact where it is short. */
export function renderTime(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(ms % 1000 === 0 ? 0 : 1)} s`;
  const days = Math.floor(ms / 86_400_000);
  return days > 1 ? `${days} days` : renderDuration(ms / 1000);
}

/** What a failure is of: it says where to look for what became of it. */
export type FailureOf = "key" | "cluster" | "session";

/** One line, `error: what happened, and what to do; what became of it`. */
export function renderFailure(failure: Failure, of: FailureOf = "key"): string {
  const detail = renderLine(failure.detail).replace(/\.$/, "");
  return `error: ${detail}${renderOutcome(failure, of)}`;
}

const doubts: Readonly<Record<FailureOf, string>> = {
  key: "; the write may have happened",
  cluster: "; it may have happened: member list and status show it",
  session: "; it may have happened",
};

function renderOutcome(failure: Failure, of: FailureOf): string {
  switch (failure.outcome) {
    case "not_applied":
      // It says so itself, of all that may have been done under its key.
      if (failure.code === "idempotency_mismatch") return "";
      return of === "key" ? "; nothing was written" : "; nothing was changed";
    case "unknown":
      return doubts[of];
    case undefined:
      return "";
    default:
      return failure.outcome satisfies never;
  }
}

export function renderProblem(problem: Problem): string {
  const where = problem.column === null ? "" : ` at column ${problem.column}`;
  return `error: ${problem.detail}${where} (${problem.advice})`;
}
