/** What the simulation's directories and members are called. */

import type { Member } from "../../server/raft/configuration.ts";
import type { NodeId } from "../../server/raft/entry.ts";

/** Names one directory of one machine: 32 hex digits, as a real one has. */
export const incarnationOf = (id: NodeId, number: number): string =>
  `${String(number).padStart(16, "0")}${String(id).padStart(16, "0")}`;

export const memberNamed = (id: NodeId, incarnation: string): Member => ({
  id,
  role: "voter",
  raft: `raft-${id}:1`,
  http: `http-${id}:1`,
  incarnation,
});
