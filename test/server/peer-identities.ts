/** Identities of nodes of one cluster, for tests of the handshake and the transport. */

import type { PeerIdentity } from "../../server/handshake.ts";
import { nodeId } from "../../server/raft/entry.ts";

export const hexId = (digit: number): string => String(digit).repeat(32);

export const clusterId = "c".repeat(32);

/** Node `id` of a formed cluster of three. */
export const identityOf = (id: number): PeerIdentity => ({
  nodeId: nodeId(id),
  incarnation: hexId(id),
  clusterId,
  members: [1, 2, 3].map((member) => ({
    id: nodeId(member),
    raft: `127.0.0.1:6300${member}`,
    http: `127.0.0.1:800${member}`,
    incarnation: hexId(member),
  })),
  revision: 0,
});
