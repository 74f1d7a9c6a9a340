/** Watching an election through other processes' HTTP ports, over as many connections as it takes. */

import { Buffer } from "node:buffer";
import type { Failure, Result } from "./client-port.ts";
import { notOurs } from "./http-answers.ts";
import { valueOfJson, type JsonRow } from "./json-row.ts";
import { must } from "./raft/assert.ts";
import { index } from "./raft/entry.ts";
import type { Leader, LeaderEvent, LeaderEvents } from "./session-port.ts";
import type { WatchOver } from "./watch/watch-port.ts";
import { connectTo, isPassing, pause, pauseMs, type OpenedStream } from "./watch/http-stream.ts";

interface Asked {
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Fails where none of the endpoints can be watched now. */
export async function watchLeadersOver(
  endpoints: readonly URL[],
  {
    path,
    signal = new AbortController().signal,
  }: { path: string; signal?: AbortSignal | undefined },
): Promise<Result<{ readonly events: LeaderEvents }>> {
  const asked = { path, signal };
  const opened = await connect(endpoints, 0, asked);
  return "ok" in opened ? opened : { ok: true, events: run(endpoints, opened, asked) };
}

type Opened = OpenedStream<LeaderEvent> & { readonly at: number };

/** To the first that answers, beginning with the one at `from`. */
async function connect(
  endpoints: readonly URL[],
  from: number,
  { path, signal }: Asked,
): Promise<Opened | Failure> {
  let failure: Failure = notOurs;
  for (let tries = 0; tries < endpoints.length; tries++) {
    const at = (from + tries) % endpoints.length;
    const endpoint = must(endpoints[at], "it is one of the endpoints");
    const opened = await connectTo(endpoint, { path, signal, read: leaderEventOfJson });
    if (!("ok" in opened)) return { ...opened, at };
    failure = opened;
    if (!isPassing(opened.code)) break;
  }
  return failure;
}

/** Every connection begins with who leads: whoever was told already is not told again. */
async function* run(
  endpoints: readonly URL[],
  first: Opened,
  asked: Asked,
): AsyncGenerator<LeaderEvent | WatchOver> {
  let opened = first;
  let told: string | null = null;
  try {
    for (;;) {
      for (const event of opened.batch) {
        const now: string | null = event.type === "leader" ? textOf(event) : told;
        yield now === told ? { type: "progress", revision: event.revision } : event;
        told = now;
      }
      const next = await opened.connection.batches.next().catch(() => null);
      if (next !== null && next.done !== true) {
        opened = { ...opened, batch: next.value };
        continue;
      }
      opened.connection.end();
      const again = await reconnect(endpoints, opened.at + 1, asked);
      if (again === null) return;
      if ("ok" in again) {
        yield { type: "over", failure: again };
        return;
      }
      opened = again;
    }
  } finally {
    opened.connection.end();
  }
}

/** Null where nobody wants to go on. */
async function reconnect(
  endpoints: readonly URL[],
  at: number,
  asked: Asked,
): Promise<Opened | Failure | null> {
  for (;;) {
    if (asked.signal.aborted) return null;
    const opened = await connect(endpoints, at, asked);
    if (asked.signal.aborted) return null;
    if (!("ok" in opened) || !isPassing(opened.code)) return opened;
    await pause(pauseMs);
  }
}

const textOf = ({ leader }: Extract<LeaderEvent, { readonly type: "leader" }>): string =>
  leader === null ? "" : `${leader.token} ${Buffer.from(leader.value).toString("base64")}`;

function leaderEventOfJson(json: unknown): LeaderEvent | null {
  if (typeof json !== "object" || json === null) return null;
  const { type, revision: number, leader: about } = json as Readonly<Record<string, unknown>>;
  if (typeof number !== "number" || !Number.isSafeInteger(number)) return null;
  const revision = index(number);
  if (type === "progress") return { type, revision };
  const leader = leaderOfJson(about);
  return type === "leader" && leader !== undefined ? { type, leader, revision } : null;
}

/** Undefined where it is something else. */
export function leaderOfJson(json: unknown): Leader | null | undefined {
  if (json === null) return null;
  if (typeof json !== "object") return undefined;
  const { token, ...value } = json as Partial<JsonRow> & { readonly token?: unknown };
  return typeof token === "number" ? { token, value: valueOfJson(value) } : undefined;
}
