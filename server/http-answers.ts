/** What a server of ours says over HTTP, and what somebody else does. */

import type { Buffer } from "node:buffer";
import type { Failure, ReadLevel, ReadMeta } from "./client-port.ts";
import type { HttpAnswer } from "./http-exchange.ts";
import { isFailureCode } from "./problem.ts";
import type { Row } from "./state-machine/command.ts";

/** The object in the body; undefined where some proxy or the HTTP parser said something else. */
export function jsonOf({ body }: HttpAnswer): Record<string, unknown> | undefined {
  const value = parsedJson(body);
  if (typeof value !== "object" || value === null) return undefined;
  return value as Record<string, unknown>;
}

export function parsedJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

export const notOurs: Failure = {
  ok: false,
  code: "internal",
  detail: "the server's answer is not one of this store; look at the endpoints",
};

export function failureOf(answer: HttpAnswer, write: boolean): Failure {
  const { status, headers } = answer;
  const fields: Partial<Record<keyof Failure, unknown>> = jsonOf(answer) ?? {};
  const { code, detail, outcome, field, leader, revision, oldestRevision } = fields;
  const retryAfter = Number(headers["retry-after"]);
  // An answer that is not ours says nothing about what happened behind it, unless it is a refusal.
  const refused = status >= 400 && status < 500;
  const known = outcome === "not_applied" || outcome === "unknown" ? outcome : undefined;
  return {
    ok: false,
    code: isFailureCode(code) ? code : refused ? "bad_request" : "internal",
    detail: typeof detail === "string" ? detail : `the server answered with status ${status}`,
    ...(write ? { outcome: known ?? (refused ? "not_applied" : "unknown") } : {}),
    ...(typeof field === "string" ? { field } : {}),
    ...(typeof revision === "number" ? { revision } : {}),
    ...(typeof oldestRevision === "number" ? { oldestRevision } : {}),
    ...(typeof leader === "number" ? { leader: leader as NonNullable<Failure["leader"]> } : {}),
    ...(retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}),
  };
}

export function revisionOf(
  answer: HttpAnswer,
  header = "x-kv-revision",
): Row["revision"] | undefined {
  const text = answer.headers[header];
  const isNumber = typeof text === "string" && /^\d{1,16}$/.test(text);
  return isNumber ? (Number(text) as Row["revision"]) : undefined;
}

/** The row that a GET of it, or what takes it away, was answered with. */
export function rowOf(key: string, answer: HttpAnswer): Row | undefined {
  const revision = revisionOf(answer);
  if (revision === undefined) return undefined;
  const { "content-type": contentType = null, "x-ttl": seconds } = answer.headers;
  // Left out where it is the same.
  const createRevision = revisionOf(answer, "x-kv-create-revision") ?? revision;
  const row = { key, value: answer.body, contentType, revision, createRevision };
  const ttlMs = typeof seconds === "string" ? Math.round(1000 * Number(seconds)) : NaN;
  return Number.isNaN(ttlMs) ? row : { ...row, ttlMs };
}

export function metaOf(answer: HttpAnswer): ReadMeta {
  const level: ReadLevel = answer.headers["x-kv-level"] === "local" ? "local" : "linearizable";
  if (level === "linearizable") return { level };
  const age = answer.headers["x-kv-age"];
  return { level, ageMs: typeof age === "string" ? Number(age) : null };
}
