/** Failures as RFC 9457 problem documents; the status follows from the code alone. */

import { type Answer, responseOf } from "./answer.ts";
import type { Failure, FailureCode } from "./client-port.ts";

interface Kind {
  readonly status: number;
  readonly title: string;
}

const kinds: Readonly<Record<FailureCode, Kind>> = {
  bad_request: { status: 400, title: "The request is not one this server understands" },
  forbidden: { status: 403, title: "Refused" },
  not_found: { status: 404, title: "Not found" },
  method_not_allowed: { status: 405, title: "This path does not take this method" },
  compacted: { status: 410, title: "That is not remembered any more" },
  conflict: { status: 409, title: "That is not possible as things stand" },
  condition_failed: { status: 412, title: "The condition does not hold" },
  condition_required: { status: 428, title: "A condition is required" },
  too_large: { status: 413, title: "The value is too large" },
  key_too_long: { status: 414, title: "The key is too long" },
  idempotency_mismatch: { status: 422, title: "The idempotency key stands for another request" },
  unsupported_media_type: { status: 415, title: "This form of the body is not taken" },
  wrong_host: { status: 421, title: "This server is not that host" },
  overloaded: { status: 429, title: "Too much at once" },
  internal: { status: 500, title: "A fault of the server" },
  not_implemented: { status: 501, title: "Not implemented" },
  no_leader: { status: 503, title: "No leader" },
  stale: { status: 503, title: "Not recent enough" },
  unreachable: { status: 503, title: "No server could be reached" },
  timeout: { status: 504, title: "No answer in time" },
  no_space: { status: 507, title: "No space left" },
};

/** Seconds after which another try makes sense where the failure does not say. */
const retryAfterSecondsDefault = 1;

export interface ProblemOptions {
  /** Whether the request would have changed something: its answer then always names the outcome. */
  readonly write?: boolean;
  /** Where HTTP has a closer one than the code's. */
  readonly status?: number;
  /** Further headers; `Allow` belongs to 405. */
  readonly headers?: Readonly<Record<string, string>>;
}

export const failureCodes: readonly string[] = Object.keys(kinds);

/** The HTTP status that stands for `code`. */
export function statusOf(code: FailureCode): number {
  return kinds[code].status;
}

/** Whether `text` is one of our codes; a peer may speak of others. */
export function isFailureCode(text: unknown): text is FailureCode {
  return typeof text === "string" && Object.hasOwn(kinds, text);
}

function outcomeOf(failure: Failure, write: boolean): string | undefined {
  if (failure.outcome !== undefined || !write) return failure.outcome;
  // Only these two are reported after a write may have been handed on.
  return failure.code === "timeout" || failure.code === "internal" ? "unknown" : "not_applied";
}

/** The answer for `failure`, `Retry-After` in whole seconds included where RFC 9110 wants one. */
export function refusal(failure: Failure, options: ProblemOptions = {}): Answer {
  const { title } = kinds[failure.code];
  const status = options.status ?? statusOf(failure.code);
  const headers: Record<string, string> = {
    "Content-Type": "application/problem+json",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    ...(failure.revision === undefined ? {} : { ETag: `"${failure.revision}"` }),
    ...options.headers,
  };
  if (status === 503 || status === 429) {
    const seconds = failure.retryAfterSeconds ?? retryAfterSecondsDefault;
    headers["Retry-After"] = String(Math.max(1, Math.ceil(seconds)));
  }
  const body = JSON.stringify({
    type: "about:blank",
    title,
    status,
    code: failure.code,
    detail: failure.detail,
    outcome: outcomeOf(failure, options.write ?? false),
    field: failure.field,
    revision: failure.revision,
    oldestRevision: failure.oldestRevision,
    leader: failure.leader,
  });
  return { status, headers, body };
}

/** The same as the standard's `Response`. */
export function problem(failure: Failure, options: ProblemOptions = {}): Response {
  return responseOf(refusal(failure, options));
}

/** A refusal of a request that cannot be executed as it stands. */
export function badRequest(detail: string, field?: string): Failure {
  return field === undefined
    ? { ok: false, code: "bad_request", detail }
    : { ok: false, code: "bad_request", detail, field };
}

/** A refusal of what is known and comes later, so that nobody believes it was honoured. */
export function notImplemented(detail: string, field: string): Failure {
  return { ok: false, code: "not_implemented", detail, field };
}
