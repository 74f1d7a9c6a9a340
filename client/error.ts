/** What can go wrong, as one error whose `code` is a union: the server's codes and the client's own. */

/** The server's codes, as `application/problem+json` carries them. */
export const serverCodes = [
  "bad_request",
  "unauthorized",
  "forbidden",
  "not_found",
  "method_not_allowed",
  "conflict",
  "compacted",
  "condition_failed",
  "condition_required",
  "too_large",
  "key_too_long",
  "unsupported_media_type",
  "wrong_host",
  "idempotency_mismatch",
  "overloaded",
  "not_implemented",
  "no_leader",
  "stale",
  "timeout",
  "no_space",
  "internal",
] as const;

/**
 * - `unreachable`: no server answered.
 * - `aborted`: the caller's signal, or `close()`.
 * - `protocol`: what answered is not this store.
 * - `undecodable`: the value that is there is none that the codec, or JSON, can read; `cause` says why.
 */
export type KvErrorCode =
  | (typeof serverCodes)[number]
  | "unreachable"
  | "aborted"
  | "protocol"
  | "undecodable";

/** What a failed write left behind: surely nothing, or nobody knows. */
export type Outcome = "not_applied" | "unknown";

export interface KvErrorFields {
  /** The HTTP status; null where no server answered. */
  readonly status?: number | null;
  /** Of writes always, of reads never. */
  readonly outcome?: Outcome | undefined;
  /** The offending field, parameter or header. */
  readonly field?: string | undefined;
  /** With `condition_failed`: the revision that the row has; 0 where there is no row. */
  readonly revision?: number | undefined;
  /** With `compacted`: the oldest revision from which a watch can go on. */
  readonly oldestRevision?: number | undefined;
  readonly cause?: unknown;
}

export class KvError<Code extends KvErrorCode = KvErrorCode> extends Error {
  override readonly name = "KvError";
  readonly code: Code;
  readonly status: number | null;
  readonly outcome: Outcome | undefined;
  readonly field: string | undefined;
  readonly revision: number | undefined;
  readonly oldestRevision: number | undefined;

  constructor(code: Code, message: string, fields: KvErrorFields = {}) {
    super(message, "cause" in fields ? { cause: fields.cause } : {});
    this.code = code;
    this.status = fields.status ?? null;
    this.outcome = fields.outcome;
    this.field = fields.field;
    this.revision = fields.revision;
    this.oldestRevision = fields.oldestRevision;
  }

  /** Whether `error` is one of these, of one of `codes` where any are named. */
  static is<C extends KvErrorCode>(error: unknown, ...codes: readonly C[]): error is KvError<C> {
    if (!(error instanceof KvError)) return false;
    return codes.length === 0 || codes.includes(error.code as C);
  }

  /** The same with another outcome: what is true of one try may not be of all of them. */
  withOutcome(outcome: Outcome | undefined): KvError<Code> {
    const { code, message, status, field, revision, oldestRevision, cause } = this;
    const same = { status, outcome, field, revision, oldestRevision };
    return new KvError(code, message, cause === undefined ? same : { ...same, cause });
  }
}

/** A refusal before anything was sent; `outcome` of a write is `not_applied`. */
export function badRequest(
  detail: string,
  field: string,
  more: Pick<KvErrorFields, "outcome" | "cause"> = {},
): KvError<"bad_request"> {
  return new KvError("bad_request", detail, { field, ...more });
}

/** What `read` makes of the value of `key`, or `undecodable`. */
export function decoded<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const detail = `the value of ${JSON.stringify(key)} is not of the form that it is read in`;
    throw new KvError("undecodable", detail, { cause });
  }
}

const known: ReadonlySet<unknown> = new Set(serverCodes);

/** The problem document in `body`, or the best that can be said of an answer without one. */
export function errorOf(status: number, body: string, write: boolean): KvError {
  const fields = objectIn(body);
  const { code, detail, outcome, field, revision, oldestRevision } = fields;
  // An answer that is not ours says nothing about what happened behind it, unless it is a refusal.
  const refused = status >= 400 && status < 500;
  const said = outcome === "not_applied" || outcome === "unknown" ? outcome : undefined;
  const isOurs = known.has(code);
  return new KvError(
    isOurs ? (code as KvErrorCode) : "protocol",
    typeof detail === "string" ? detail : `the server answered with status ${status}`,
    {
      status,
      outcome: write ? (said ?? (refused ? "not_applied" : "unknown")) : undefined,
      field: typeof field === "string" ? field : undefined,
      revision: typeof revision === "number" ? revision : undefined,
      oldestRevision: typeof oldestRevision === "number" ? oldestRevision : undefined,
    },
  );
}

/** The JSON object in `text`; empty where there is none. */
export function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
