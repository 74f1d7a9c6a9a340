/** `4=127.0.0.1:63004/127.0.0.1:8004`: a member as people write it. */

import { isAddressText } from "./address.ts";
import { isNodeId } from "./identity.ts";
import { nodeId, type NodeId } from "./raft/entry.ts";

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
