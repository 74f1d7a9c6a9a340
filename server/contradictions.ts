/** A sentence for the log about each message of a peer that contradicts what is known: once of each kind. */

import type { RaftOptions } from "./raft/raft.ts";

export function warnsOfContradictions(
  warn: (text: string) => void,
): Required<RaftOptions>["refused"] {
  // Bounded by the members, the kinds of messages and what can be claimed.
  const said = new Set<string>();
  return (from, { type }, claim) => {
    const text = `refused a message of node ${from}: its ${type} contradicts that ${claim}`;
    if (said.has(text)) return;
    said.add(text);
    warn(text);
  };
}
