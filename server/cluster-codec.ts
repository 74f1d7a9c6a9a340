/** Requests about the cluster and their answers as JSON; what comes from a peer is checked. */

import { isFailureCode } from "./problem.ts";
import type { Failure } from "./client-port.ts";
import { fieldsOf, isNodeId } from "./identity.ts";
import type { MemberChange } from "./member-change.ts";
import type { ClusterAnswer, ClusterRequest } from "./membership.ts";
import { decodeConfiguration } from "./raft/configuration.ts";
import { nodeId } from "./raft/entry.ts";

export const encodeJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(value));

function decodeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** Null where the bytes are none. */
export function decodeClusterRequest(bytes: Uint8Array): ClusterRequest | null {
  const value = decodeJson(bytes);
  const transfer = fieldsOf(value, 2);
  if (transfer?.["kind"] === "transfer" && isNodeId(transfer["to"])) {
    return { kind: "transfer", to: nodeId(transfer["to"]) };
  }
  const fields = fieldsOf(value, 3);
  const revision = fields?.["revision"];
  const change = readChange(fields?.["change"]);
  if (fields?.["kind"] !== "change" || change === null) return null;
  return typeof revision === "number" ? { kind: "change", change, revision } : null;
}

function readChange(value: unknown): MemberChange | null {
  const short = fieldsOf(value, 2);
  const fields = short ?? fieldsOf(value, 4);
  const kind = fields?.["kind"];
  const id = fields?.["id"];
  if (!isNodeId(id)) return null;
  if (short !== null) {
    return kind === "promote" || kind === "remove" ? { kind, id: nodeId(id) } : null;
  }
  const [raft, http] = [fields?.["raft"], fields?.["http"]];
  if (typeof raft !== "string" || typeof http !== "string") return null;
  return kind === "add" || kind === "replace" ? { kind, id: nodeId(id), raft, http } : null;
}

/** Null: ask whoever leads next. Undefined where the bytes are no answer. */
export function decodeClusterAnswer(bytes: Uint8Array): ClusterAnswer | null | undefined {
  const value = decodeJson(bytes);
  if (value === null) return null;
  if (typeof value !== "object") return undefined;
  const fields = value as Record<string, unknown>;
  if (fields["ok"] === true) {
    try {
      const configuration = decodeConfiguration(encodeJson(fields["configuration"]));
      return { ok: true, configuration };
    } catch {
      return undefined;
    }
  }
  const { code, detail, outcome, revision, retryAfterSeconds } = fields;
  if (!isFailureCode(code) || typeof detail !== "string") return undefined;
  const failure: Failure = {
    ok: false,
    code,
    detail,
    outcome: outcome === "not_applied" ? outcome : "unknown",
    ...(typeof revision === "number" ? { revision } : {}),
    ...(typeof retryAfterSeconds === "number" ? { retryAfterSeconds } : {}),
  };
  return failure;
}
