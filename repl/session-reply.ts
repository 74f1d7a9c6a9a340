/** Asks for leases, locks and elections, and has the answer ready in every form it is shown in. */

import type { ClientPort, Failure } from "../server/client-port.ts";
import { leaderJson } from "../server/leader-json.ts";
import { unreachable } from "../server/raft/assert.ts";
import type { Leader, LeaderEvent, QueueKind } from "../server/session-port.ts";
import { counted, renderTime } from "./answers.ts";
import { renderListedValue } from "./render.ts";
import { reply, type Reply } from "./reply-forms.ts";
import type { SessionQuestion } from "./session-words.ts";

/** What the store says to it; `signal` ends the wait. */
export async function askSession(
  { sessions }: ClientPort,
  question: SessionQuestion,
  until: { readonly signal?: AbortSignal },
): Promise<Reply | Failure> {
  switch (question.action) {
    case "grant": {
      const { ttlMs, options } = question;
      const answer = await sessions.grantLease(ttlMs, { ...options, ...until });
      if (!answer.ok) return answer;
      const id = answer.revision;
      return reply(() => `lease ${id}, for ${renderTime(ttlMs)}`, { id, ttlMs });
    }
    case "keepalive": {
      const { lease: id } = question;
      const answer = await sessions.keepLeaseAlive(id, until);
      if (!answer.ok) return answer;
      const { ttlMs } = answer;
      return reply(() => `lease ${id}, for ${renderTime(ttlMs)} again`, { id, ttlMs });
    }
    case "revoke": {
      const answer = await sessions.revokeLease(question.lease, until);
      if (!answer.ok) return answer;
      const { deleted, revision } = answer;
      const text = `revoked, ${counted(deleted, "key", "keys")} deleted, revision ${revision}`;
      return reply(() => text, { deleted, revision });
    }
    case "show":
      return question.name === "lease"
        ? showLease(sessions, question.lease, until)
        : showQueue(sessions, question, until);
    case "enter": {
      const { name: kind, queue: name, asked, options } = question;
      const answer = await sessions.enter({ kind, name }, asked, { ...options, ...until });
      if (!answer.ok) return withFlag(answer);
      const { token, lease } = answer;
      const text = `${kind === "lock" ? "held" : "elected"}, token ${token}, lease ${lease}`;
      return reply(() => text, { name, token, lease });
    }
    case "leave": {
      const { name: kind, queue: name, token } = question;
      const answer = await sessions.leave({ kind, name }, token, until);
      if (!answer.ok) return answer;
      const { revision } = answer;
      const done = kind === "lock" ? "released" : "resigned";
      return reply(() => `${done}, revision ${revision}`, { released: true, revision });
    }
    case "proclaim": {
      const { queue: name, token, value } = question;
      const answer = await sessions.proclaim(name, { token, value }, until);
      if (!answer.ok) return answer;
      const { revision } = answer;
      return reply(() => `proclaimed, revision ${revision}`, { name, token, revision });
    }
    default:
      return unreachable(question);
  }
}

type Sessions = ClientPort["sessions"];
type Until = { readonly signal?: AbortSignal };

async function showLease(sessions: Sessions, id: number, until: Until): Promise<Reply | Failure> {
  const answer = await sessions.lease(id, until);
  if (!answer.ok) return answer;
  const { ttlMs, remainingMs } = answer;
  const text = `lease ${id} of ${renderTime(ttlMs)}, goes in ${renderTime(remainingMs)}`;
  return reply(() => text, { id, ttlMs, remainingMs });
}

/** Nobody there is a no, as a missing key is. */
async function showQueue(
  sessions: Sessions,
  { name: kind, queue: name }: { readonly name: QueueKind | "lease"; readonly queue: string },
  until: Until,
): Promise<Reply | Failure> {
  if (kind === "election") {
    const answer = await sessions.leader(name, until);
    if (!answer.ok) return answer;
    const { leader } = answer;
    const more = leader === null ? {} : { bytes: leader.value };
    const json = { leader: leaderJson(leader) };
    return reply(() => leaderText(leader), json, { isNo: leader === null, ...more });
  }
  const answer = await sessions.lockHolder(name, until);
  if (!answer.ok) return answer;
  const { holder, waiting } = answer;
  const isNo = holder === null;
  const text = isNo
    ? "free"
    : `held, token ${holder.token}, lease ${holder.lease}, ${waiting} waiting`;
  return reply(() => text, { name, holder, waiting }, { isNo });
}

const leaderText = (leader: Leader | null): string =>
  leader === null ? "nobody leads" : `${renderListedValue(leader.value)} (token ${leader.token})`;

/** Who leads since when. */
export const leaderLine = ({ leader, revision }: LeaderChange): string =>
  `${revision} ${leaderText(leader)}`;

type LeaderChange = Extract<LeaderEvent, { readonly type: "leader" }>;

/** What the field of a body is to HTTP, a flag is here. */
export const withFlag = (failure: Failure): Failure => ({
  ...failure,
  detail: failure.detail.replace("`wait`", "--wait"),
});
