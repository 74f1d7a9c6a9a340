/** `4=127.0.0.1:63004/127.0.0.1:8004`: a member as people write it. */

import { isNodeId } from "./identity.ts";
import { nodeId, type NodeId } from "./raft/entry.ts";

/** `HOST:PORT`, an IPv6 address in brackets. */
export function isAddressText(text: string): boolean {
  const match = /^(?:\[[0-9a-fA-F:]+\]|[^:[\]\s/=,]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[1]);
  return match !== null && text.length <= 256 && port >= 1 && port <= 65_535;
}

/** Null where `text` is no id in decimal digits. */
export function parseMemberId(text: string): NodeId | null {
  const id = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  return isNodeId(id) ? nodeId(id) : null;
}

/** Null where `text` is not of that form. */
export function parseMemberText(
  text: string,
): { readonly id: NodeId; readonly raft: string; readonly http: string } | null {
  const [, digits = "", raft = "", http = ""] = /^(\d+)=([^/]+)\/([^/]+)$/.exec(text) ?? [];
  const id = parseMemberId(digits);
  return id !== null && isAddressText(raft) && isAddressText(http) ? { id, raft, http } : null;
}
