/** What a client is told where the node could not do what it was asked. */

import type { Failure } from "./client-port.ts";
import type { Node } from "./node.ts";
import type { ReadAnswer } from "./pending-reads.ts";
import type { WriteAnswer } from "./pending-writes.ts";
import { unreachable } from "./raft/assert.ts";

/** `node` is null where the cluster has not formed. */
export function noLeader(node: Node | null): Failure {
  if (node?.mending?.log) {
    const detail =
      "this node has lost log entries and waits for a leader to refill it: start the other nodes";
    return { ok: false, code: "no_leader", detail, retryAfterSeconds: 1 };
  }
  const detail = node
    ? "there is no leader: most of the nodes have to be up and able to reach each other; try again"
    : "the cluster has not formed yet: its first start needs every node to be up; try again";
  return { ok: false, code: "no_leader", detail, retryAfterSeconds: 1 };
}

export function writeFailure(answer: WriteAnswer & { ok: false }, node: Node): Failure {
  const { error, outcome } = answer;
  switch (error) {
    case "noLeader":
      return { ...noLeader(node), outcome };
    case "timeout": {
      const detail =
        "no majority has confirmed the write in time; it may still happen: read the key to see";
      return { ok: false, code: "timeout", detail, outcome };
    }
    case "overloaded": {
      const detail = "too many writes wait on this node; nothing was written, try again later";
      return { ok: false, code: "overloaded", detail, outcome, retryAfterSeconds: 1 };
    }
    case "noSpace": {
      const detail =
        "a node's disk is nearly full, so nothing was written: free space there, or delete keys " +
        "(disk in /v1/status shows which node)";
      return { ok: false, code: "no_space", detail, outcome };
    }
    case "stopping": {
      const detail = "this node is stopping; ask another one";
      const code = outcome === "unknown" ? "timeout" : "no_leader";
      return { ok: false, code, detail, outcome, retryAfterSeconds: 1 };
    }
    default:
      return unreachable(error);
  }
}

export function readFailure(answer: ReadAnswer & { ok: false }, node: Node | null): Failure {
  switch (answer.error) {
    case "noLeader":
      return noLeader(node);
    case "stale": {
      const detail = "this node could not catch up with the leader in time; ask another one";
      return { ok: false, code: "stale", detail, retryAfterSeconds: 1 };
    }
    case "overloaded": {
      const detail = "too many reads wait on this node; try again later";
      return { ok: false, code: "overloaded", detail, retryAfterSeconds: 1 };
    }
    case "stopping": {
      const detail = "this node is stopping; ask another one";
      return { ok: false, code: "no_leader", detail, retryAfterSeconds: 1 };
    }
    default:
      return unreachable(answer.error);
  }
}
