/** Leases, locks and elections as reached through other processes' HTTP ports. */

import type { Failure, Result } from "./client-port.ts";
import { jsonOf, notOurs, revisionOf } from "./http-answers.ts";
import { jsonBody, type Call, type HttpAnswer } from "./http-exchange.ts";
import { leaderOfJson, watchLeadersOver } from "./http-leaders.ts";
import { pathOfQueue } from "./key-path.ts";
import { valueJson } from "./json-row.ts";
import type {
  EnterAnswer,
  Entering,
  Holder,
  LeaderEvents,
  LeaseAnswer,
  QueueName,
  RevisionAnswer,
  SessionPort,
  SessionRead,
  SessionWrite,
} from "./session-port.ts";

/** `waitMs` longer than others, because the server waits as long before it answers. */
export type AskSession = (
  call: Omit<Call, "signal">,
  options: { readonly signal?: AbortSignal | undefined; readonly waitMs?: number },
) => Promise<HttpAnswer | Failure>;

const unclear: Failure = { ...notOurs, outcome: "unknown" };

export class HttpSessions implements SessionPort {
  readonly #ask: AskSession;
  readonly #endpoints: readonly URL[];

  constructor(ask: AskSession, endpoints: readonly URL[]) {
    this.#ask = ask;
    this.#endpoints = endpoints;
  }

  grantLease(ttlMs: number, options?: SessionWrite): Promise<LeaseAnswer> {
    return this.#lease({ path: "/v1/leases", ...jsonBody({ ttl: `${ttlMs}ms` }) }, options);
  }

  keepLeaseAlive(lease: number, options?: SessionWrite): Promise<LeaseAnswer> {
    return this.#lease({ path: `/v1/leases/${lease}/keepalive` }, options);
  }

  async #lease(
    call: Pick<Call, "path" | "body" | "contentType">,
    options?: SessionWrite,
  ): Promise<LeaseAnswer> {
    const answer = await this.#write({ method: "POST", ...call }, options);
    if ("ok" in answer) return answer;
    const ttlMs = jsonOf(answer)?.["ttlMs"];
    const revision = revisionOf(answer);
    if (typeof ttlMs !== "number" || revision === undefined) return unclear;
    return { ok: true, ttlMs, revision };
  }

  async lease(lease: number, { signal }: SessionRead = {}) {
    const answer = await this.#ask({ method: "GET", path: `/v1/leases/${lease}` }, { signal });
    if ("ok" in answer) return answer;
    const { ttlMs, remainingMs } = jsonOf(answer) ?? {};
    const revision = revisionOf(answer);
    const isOurs = typeof ttlMs === "number" && typeof remainingMs === "number";
    if (!isOurs || revision === undefined) return notOurs;
    return { ok: true, ttlMs, remainingMs, revision } as const;
  }

  async revokeLease(lease: number, options?: SessionWrite) {
    const answer = await this.#write({ method: "DELETE", path: `/v1/leases/${lease}` }, options);
    if ("ok" in answer) return answer;
    const deleted = jsonOf(answer)?.["deleted"];
    const revision = revisionOf(answer);
    if (typeof deleted !== "number" || revision === undefined) return unclear;
    return { ok: true, deleted, revision } as const;
  }

  async enter(
    queue: QueueName,
    { value, lease, ttlMs, waitMs }: Entering,
    options: SessionWrite = {},
  ): Promise<EnterAnswer> {
    const body = jsonBody({
      ...(lease === null ? { ttl: `${ttlMs}ms` } : { lease }),
      ...(waitMs === 0 ? {} : { wait: `${waitMs}ms` }),
      ...(queue.kind === "election" ? valueJson(value) : {}),
    });
    const call = { method: "POST", path: pathOf(queue), ...body } as const;
    const answer = await this.#write(call, options, waitMs);
    if ("ok" in answer) return answer;
    const { token, lease: given } = jsonOf(answer) ?? {};
    if (typeof token !== "number" || typeof given !== "number") return unclear;
    return { ok: true, token, lease: given };
  }

  async leave(queue: QueueName, token: number, options?: SessionWrite): Promise<RevisionAnswer> {
    const path = `${pathOf(queue)}?token=${token}`;
    return revisionIn(await this.#write({ method: "DELETE", path }, options));
  }

  async proclaim(
    name: string,
    { token, value }: { readonly token: number; readonly value: Uint8Array },
    options?: SessionWrite,
  ): Promise<RevisionAnswer> {
    const path = `${pathOf({ kind: "election", name })}?token=${token}`;
    const call = { method: "PUT", path, ...jsonBody(valueJson(value)) } as const;
    return revisionIn(await this.#write(call, options));
  }

  async lockHolder(name: string, { signal }: SessionRead = {}) {
    const path = pathOf({ kind: "lock", name });
    const answer = await this.#ask({ method: "GET", path }, { signal });
    if ("ok" in answer) return answer;
    const { holder, waiting } = jsonOf(answer) ?? {};
    const revision = revisionOf(answer);
    const isOurs = typeof holder === "object" && typeof waiting === "number";
    if (!isOurs || revision === undefined) return notOurs;
    return { ok: true, holder: holder as Holder | null, waiting, revision } as const;
  }

  async leader(name: string, { signal }: SessionRead = {}) {
    const path = pathOf({ kind: "election", name });
    const answer = await this.#ask({ method: "GET", path }, { signal });
    if ("ok" in answer) return answer;
    const leader = leaderOfJson(jsonOf(answer)?.["leader"]);
    const revision = revisionOf(answer);
    if (leader === undefined || revision === undefined) return notOurs;
    return { ok: true, leader, revision } as const;
  }

  watchLeaders(
    name: string,
    { signal }: SessionRead,
  ): Promise<Result<{ readonly events: LeaderEvents }>> {
    const path = `${pathOf({ kind: "election", name })}?watch`;
    return watchLeadersOver(this.#endpoints, { path, signal });
  }

  #write(
    call: Omit<Call, "signal">,
    { signal, idempotencyKey }: SessionWrite = {},
    waitMs = 0,
  ): Promise<HttpAnswer | Failure> {
    const once = idempotencyKey === undefined ? {} : { idempotencyKey };
    return this.#ask({ ...call, ...once }, { signal, waitMs });
  }
}

const pathOf = ({ kind, name }: QueueName): string => pathOfQueue(kind, name);

function revisionIn(answer: HttpAnswer | Failure): RevisionAnswer {
  if ("ok" in answer) return answer;
  const revision = revisionOf(answer);
  return revision === undefined ? unclear : { ok: true, revision };
}
