/** Who leads, as JSON: an answer, an event of a stream, or a line. */

import { valueJson } from "./json-row.ts";
import type { Leader, LeaderEvent } from "./session-port.ts";

export const leaderJson = (leader: Leader | null): object | null =>
  leader === null ? null : { ...valueJson(leader.value), token: leader.token };

/** Without its type, which a server-sent event has a field for. */
export function leaderEventFields(event: LeaderEvent): object {
  const { revision } = event;
  return event.type === "leader" ? { leader: leaderJson(event.leader), revision } : { revision };
}

export const leaderEventJson = (event: LeaderEvent): object => ({
  type: event.type,
  ...leaderEventFields(event),
});
