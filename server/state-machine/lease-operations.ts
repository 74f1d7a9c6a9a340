/** What transactions do with leases and with the queues of locks and elections. */

import type { Index } from "../raft/entry.ts";
import { integerBytes, integerOfBytes } from "./integer.ts";
import { deadlinesMax } from "./deadlines.ts";
import {
  firstPlace,
  isHidden,
  leaseKey,
  placeKey,
  queuePrefix,
  tokenOfPlace,
} from "./hidden-rows.ts";
import { leasedKeysMax, leaseKeysMax } from "./leased-keys.ts";
import type { Rows } from "./rows.ts";
import type { FailedResult, Operation, OperationResult } from "./transaction.ts";

export type Failed = Pick<FailedResult, "op" | "code" | "detail">;

export const failed = (code: FailedResult["code"], detail: string): Failed => ({
  op: "failed",
  code,
  detail,
});

export const tooManyDeadlines: Failed = failed(
  "conflict",
  `there are ${deadlinesMax} keys with a TTL and leases already, which is the most; nothing was done`,
);

const leaseGone = (lease: number): Failed =>
  failed("not_found", `there is no lease ${lease}: it has expired or was revoked, or never was`);

/** Deadlines are in memory. */
export const hasRoomFor = (rows: Rows, key: string): boolean =>
  rows.deadlines.count < deadlinesMax || rows.deadlines.has(key);

export type LeaseOperation = Extract<
  Operation,
  { readonly op: "leaseGrant" | "leaseRenew" | "leaseRevoke" | "join" | "leave" | "setValue" }
>;

export function runOnLeases(
  rows: Rows,
  operation: LeaseOperation,
  revision: Index,
): OperationResult | Failed {
  const { op } = operation;
  switch (op) {
    case "leaseGrant":
      return grant(rows, operation.ttlMs, revision) ?? { op, lease: revision };
    case "leaseRenew":
      return renew(rows, operation.lease);
    case "leaseRevoke":
      return revoke(rows, operation.lease);
    case "join":
      return join(rows, operation, revision);
    case "leave":
      return leave(rows, operation);
    case "setValue":
      return setValue(rows, operation, revision);
  }
}

/** Why no more keys can be attached to the lease; null where one can. */
export function attachProblem(rows: Rows, lease: number): Failed | null {
  if (rows.revisions(leaseKey(lease)) === null) return leaseGone(lease);
  const { leased } = rows;
  if (leased.countOf(lease) >= leaseKeysMax) {
    return failed("conflict", `lease ${lease} has ${leaseKeysMax} keys already, which is the most`);
  }
  if (leased.count < leasedKeysMax) return null;
  return failed("conflict", `${leasedKeysMax} keys have a lease already, which is the most`);
}

function grant(rows: Rows, ttlMs: number, revision: Index): Failed | null {
  const key = leaseKey(revision);
  if (!hasRoomFor(rows, key)) return tooManyDeadlines;
  const value = integerBytes(BigInt(ttlMs));
  rows.put({ key, value, contentType: null, expiresMs: rows.timeMs + ttlMs }, revision);
  return null;
}

function renew(rows: Rows, lease: number): OperationResult | Failed {
  const row = rows.get(leaseKey(lease));
  if (row === null) return leaseGone(lease);
  const ttlMs = Number(integerOfBytes(row.value));
  rows.touch(row.key, rows.timeMs + ttlMs);
  return { op: "leaseRenew", ttlMs };
}

/** Counts the users' keys. */
function revoke(rows: Rows, lease: number): OperationResult | Failed {
  const key = leaseKey(lease);
  if (rows.revisions(key) === null) return leaseGone(lease);
  let deleted = 0;
  for (const leased of rows.leased.keysOf(lease)) {
    rows.remove(leased);
    if (!isHidden(leased)) deleted++;
  }
  rows.remove(key);
  return { op: "leaseRevoke", deleted };
}

/** A lease has one place in a queue: who comes again with it stands where he stood. */
function join(
  rows: Rows,
  { op, key: queue, value, lease, ttlMs, waits }: Extract<Operation, { readonly op: "join" }>,
  revision: Index,
): OperationResult | Failed {
  const first = firstPlace(rows, queue);
  const prefix = queuePrefix(queue);
  const own = lease === null ? undefined : rows.leased.keysOf(lease).find(isIn(prefix));
  if (lease !== null && own !== undefined) {
    rows.put({ key: own, value, contentType: null, lease }, revision);
    return { op, token: tokenOfPlace(own), lease, isFirst: own === first };
  }
  const problem = lease === null ? null : attachProblem(rows, lease);
  if (problem !== null) return problem;
  if (first !== null && !waits) return { op, token: null, lease: null, isFirst: false };
  const refused = lease === null ? grant(rows, ttlMs, revision) : null;
  if (refused !== null) return refused;
  const kept = lease ?? revision;
  rows.put({ key: placeKey(queue, revision), value, contentType: null, lease: kept }, revision);
  return { op, token: revision, lease: kept, isFirst: first === null };
}

const isIn = (prefix: string) => (key: string) => key.startsWith(prefix);

/** A lease that was granted with the place goes with it, and with it all keys attached since. */
function leave(
  rows: Rows,
  { op, key: queue, token }: Extract<Operation, { readonly op: "leave" }>,
): OperationResult {
  const before = rows.remove(placeKey(queue, token));
  if (before === null) return { op, left: false };
  if (rows.revisions(leaseKey(token)) !== null) revoke(rows, token);
  return { op, left: true };
}

function setValue(
  rows: Rows,
  { op, key: queue, token, value }: Extract<Operation, { readonly op: "setValue" }>,
  revision: Index,
): OperationResult | Failed {
  const key = placeKey(queue, token);
  const row = rows.get(key);
  if (row === null) return failed("not_found", `nobody has the token ${token}`);
  rows.put({ key, value, contentType: null, lease: row.lease }, revision);
  return { op, revision };
}
