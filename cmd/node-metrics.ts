/** What `/metrics` says of a node: the figures of its parts, by Prometheus' names. */

import type { Admission } from "../server/admission.ts";
import type { AdmissionLimit } from "../server/admission-limit.ts";
import type { Status } from "../server/client-port.ts";
import { gauge, metricsText, type Metric, type Sample } from "../server/metrics.ts";
import type { NodeId } from "../server/raft/entry.ts";
import type { RequestCounts } from "../server/request-counts.ts";
import type { PeerCounters } from "../server/transport.ts";

export interface NodeFigures {
  readonly status: Status;
  readonly requests: RequestCounts;
  readonly admission: Admission;
  readonly pendingWrites: number;
  /** Reads that wait for a change among them. */
  readonly watchers: number;
  /** Of all its files; 0 where there are none yet. */
  readonly logBytes: number;
  readonly residentBytes: number;
  /** Of a peer that is dialed; null of others. */
  readonly counters: (peer: NodeId) => PeerCounters | null;
}

const roles = ["leader", "follower", "candidate", "learner"] as const;

export function nodeMetrics(figures: NodeFigures): string {
  const { admission, requests } = figures;
  const answered: readonly Metric[] = [
    {
      name: "kv_http_requests_total",
      type: "counter",
      help: "Answered requests.",
      samples: requests.totals,
    },
    {
      name: "kv_http_request_duration_seconds",
      type: "histogram",
      help: "From the whole request until its answer began.",
      samples: requests.durations,
    },
  ];
  return metricsText([
    ...raftMetrics(figures),
    ...peerMetrics(figures),
    ...answered,
    ...admissionMetrics(admission),
  ]);
}

function admissionMetrics({ lanes }: Admission): Metric[] {
  const each = (value: (of: AdmissionLimit) => number): Sample[] =>
    Object.entries(lanes).map(([lane, of]) => ({ labels: { lane }, value: value(of) }));
  return [
    gauge(
      "kv_admission_limit",
      "Requests taken at once, found from their delay; 0 where none is refused.",
      each(({ limit }) => (limit === Infinity ? 0 : limit)),
    ),
    gauge(
      "kv_admission_in_flight",
      "Requests taken and not answered.",
      each(({ inFlight }) => inFlight),
    ),
    gauge(
      "kv_admission_delay_seconds",
      "The shortest delay of a request while it was last looked at.",
      each(({ delayMs }) => delayMs / 1_000),
    ),
    {
      name: "kv_admission_refused_total",
      type: "counter",
      help: "Requests refused because the node could not keep up.",
      samples: each(({ refusedTotal }) => refusedTotal),
    },
  ];
}

function raftMetrics(figures: NodeFigures): Metric[] {
  const { status, pendingWrites, watchers, logBytes, residentBytes } = figures;
  const { role, leaderId, version, disk } = status;
  return [
    gauge("kv_build_info", "Always 1.", [{ labels: { version }, value: 1 }]),
    gauge("kv_uptime_seconds", "Since the start of the process.", status.uptimeSeconds),
    gauge("process_resident_memory_bytes", "Resident memory.", residentBytes),
    gauge("kv_raft_term", "The term.", status.term),
    gauge(
      "kv_raft_role",
      "1 for the role that the node has.",
      roles.map((each) => ({ labels: { role: each }, value: each === role ? 1 : 0 })),
    ),
    gauge("kv_raft_leader_known", "1 where the node knows a leader.", leaderId === null ? 0 : 1),
    gauge("kv_raft_commit_index", "The last entry known to be committed.", status.commitIndex),
    gauge("kv_raft_applied_index", "The last entry applied to the state.", status.appliedIndex),
    gauge("kv_raft_first_log_index", "The first entry still in the log.", status.firstLogIndex),
    gauge("kv_raft_last_log_index", "The last entry in the log.", status.lastLogIndex),
    gauge("kv_log_bytes", "The log's files.", logBytes),
    gauge("kv_pending_writes", "Writes without an answer yet.", pendingWrites),
    gauge("kv_watchers", "Watches, and reads that wait for a change.", watchers),
    gauge("kv_disk_free_bytes", "Free on the disk of the data directory.", disk.freeBytes),
    gauge(
      "kv_disk_low",
      "1 where writes that need room are refused for it.",
      disk.state === "ok" ? 0 : 1,
    ),
  ];
}

function peerMetrics({ status, counters }: NodeFigures): Metric[] {
  const peers = status.members.filter(({ id }) => id !== status.nodeId);
  const each = (value: (counted: PeerCounters) => number): Sample[] =>
    peers.flatMap(({ id }) => {
      const counted = counters(id);
      return counted === null ? [] : [{ labels: { peer: id }, value: value(counted) }];
    });
  const connected = peers.map(({ id, reachable }) => ({
    labels: { peer: id },
    value: reachable === true ? 1 : 0,
  }));
  return [
    gauge("kv_peer_connected", "1 where a connection to the peer stands.", connected),
    gauge(
      "kv_peer_outbox_frames",
      "Messages that wait for their way out.",
      each((one) => one.queuedFrames),
    ),
    gauge(
      "kv_peer_outbox_bytes",
      "Their bytes.",
      each((one) => one.queuedBytes),
    ),
    {
      name: "kv_peer_dropped_messages_total",
      type: "counter",
      help: "Messages that found the outbox full.",
      samples: each((one) => one.dropped),
    },
  ];
}
