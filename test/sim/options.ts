/** What one seed decides: the cluster, its limits, the load, and which faults there are. */

import { defaultLimits, type Limits } from "../../server/limits.ts";
import type { WatcherLimits } from "../../server/watch/watcher.ts";
import { Random } from "../raft/random.ts";
import type { QuietOptions } from "./quiet.ts";

export const faultKinds = [
  "kill",
  "powerLoss",
  "powerLossOfAll",
  "crashInDiskOperation",
  "pause",
  "partition",
  "oneWayPartition",
  "chainPartition",
  "lossyNetwork",
  "duplicates",
  "reordering",
  "slowLinks",
  "resets",
  "clockDrift",
  "wallClockJumps",
  "diskErrors",
  "fullDisk",
  "shortWrites",
  "slowSyncs",
  "hangingSyncs",
  "bitRot",
  "misdirectedWrites",
  "stateDamage",
  "wipe",
  "handOver",
  // Drawn apart, from here on, so that older seeds still mean what they did where none of them strikes.
  "isolatedLeaders",
  "lateAnswers",
  "otherAppends",
  "snapshotRot",
  "crashesAtNames",
  // Only where somebody watches.
  "shutDown",
] as const;

export type FaultKind = (typeof faultKinds)[number];

const drawnApart = faultKinds.indexOf("isolatedLeaders");

export interface SimOptions extends QuietOptions {
  readonly seed: number;
  /** As the cluster is formed. */
  readonly nodeCount: number;
  /** Machines with an empty directory that may become members. */
  readonly spareCount: number;
  /** Mean time between two things that the operator does; 0: nothing at all. */
  readonly operatorEveryMs: number;
  readonly faults: ReadonlySet<FaultKind>;
  /** Mean time between two faults. */
  readonly faultEveryMs: number;
  /** Simulated time under faults and load; the healing comes on top. */
  readonly durationMs: number;
  readonly limits: Limits;
  readonly logSizes: { segmentBytes: number; preallocateBytes: number; cacheBytes: number };
  /** The load ends after so many calls, and the healing begins. */
  readonly callsMax: number;
  readonly clients: number;
  readonly keys: number;
  readonly thinkMs: number;
  readonly valueBytesMax: number;
  readonly latencyMs: number;
  /** Clients that hold locks and write what lasts for a time, and for how long that is. */
  readonly sessions: number;
  readonly leaseMs: number;
  /** Clients that watch, what each of them may cost a node, and how often one has to forget; 0: never. */
  readonly watchers: number;
  readonly watcherLimits: WatcherLimits;
  readonly forgetEveryMs: number;
  /** Clients whose reads wait. */
  readonly waitingReaders: number;
  /** Clients that try every case of what a node can be asked, and whether the log's time leaps under them. */
  readonly callers: number;
  readonly leaps: boolean;
}

/** Every draw is made whether or not it is used, so that leaving a fault out changes nothing else. */
export function drawOptions(seed: number, without: ReadonlySet<FaultKind> = new Set()): SimOptions {
  const random = new Random(seed);
  // What came later is drawn apart, so that older seeds still mean what they did.
  const other = new Random(seed ^ 0x5bd1e995);
  const members = new Random(seed ^ 0x3c6ef372);
  const likelihood = random.pick([0.1, 0.25, 0.5, 0.8]);
  const faults = new Set<FaultKind>();
  const harsh = new Random(seed ^ 0x2c1b3c6d);
  const lasting = new Random(seed ^ 0x61c88647);
  const paced = new Random(seed ^ 0x7f4a7c15);
  // Such that nobody watches in the seeds that have failed before: they still mean what they did.
  const watching = new Random(seed ^ 0x42835165);
  const watchers = watching.pick([0, 0, 0, 3, 6]);
  // Such that none of those is quiet at times, either.
  const resting = new Random(seed ^ 0x7b3f341e);
  const isQuiet = resting.pick([false, false, false, true]);
  // Nor has any of them fewer heartbeats at rest.
  const restFactor = new Random(seed ^ 0x1966102d).pick([1, 1, 1, 2]);
  // Nor does anybody's read wait there where somebody watches.
  const waiting = new Random(seed ^ 0x14057b89);
  // Nor does anybody try every case.
  const calling = new Random(seed ^ 0x207aadf3);
  const callers = watchers === 0 ? 0 : calling.pick([0, 2, 4]);
  const listBytesMax = calling.pick([400, defaultLimits.listBytesMax]);
  const countRowsMax = calling.pick([2, defaultLimits.countRowsMax]);
  const mayLeap = calling.float() < 0.6;
  for (const [i, kind] of faultKinds.entries()) {
    if (kind === "shutDown" && watchers === 0) continue;
    const drawing = kind === "shutDown" ? watching : i < drawnApart ? random : harsh;
    if (drawing.float() < likelihood && !without.has(kind)) faults.add(kind);
  }
  const tickMs = random.pick([10, 25, 50]);
  const heartbeatMs = tickMs * random.pick([1, 2, 4]);
  const electionTimeoutMs = heartbeatMs * random.pick([3, 5, 10]);
  const limits: Limits = {
    ...defaultLimits,
    tickMs,
    heartbeatMs,
    // In time for the followers' patience still, as in the product.
    restHeartbeatMs: heartbeatMs * (electionTimeoutMs < 10 * heartbeatMs ? 1 : restFactor),
    electionTimeoutMs,
    firstElectionTimeoutMs: Math.max(heartbeatMs + tickMs, electionTimeoutMs / random.pick([1, 4])),
    leaderlessHoldMs: electionTimeoutMs * 2,
    requestDeadlineMs: electionTimeoutMs * random.pick([2, 5, 10]),
    pendingWritesMax: random.pick([4, 64, 16_384]),
    pendingReadsMax: random.pick([4, 64, 65_536]),
    appendBytesMax: random.pick([1, 200, 1_000, 1 << 20]),
    inflightMessagesMax: random.pick([1, 2, 8, 256]),
    inflightBytesMax: random.pick([1, 500, 16 << 20]),
    uncommittedBytesMax: random.pick([500, 4_000, 64 << 20]),
    applyBytesMax: random.pick([1, 300, 2 << 20]),
    commitBytes: random.pick([1, 500, 8 << 20]),
    checkpointBytes: random.pick([100, 2_000, 24 << 20]),
    checkpointIdleMs: electionTimeoutMs * Math.min(random.pick([0.5, 5]), isQuiet ? 0.5 : Infinity),
    logEntriesMax: random.pick([2, 30, 65_536]),
    logTailBytesMin: random.pick([500, 4 << 20]),
    logBytesMax: random.pick([1_000, 20_000, 64 << 20]),
    snapshotChunkBytes: random.pick([40, 1_000, 128 << 10]),
    snapshotWindowBytes: random.pick([50, 2_000, 2 << 20]),
    snapshotTickBytes: random.pick([200, 5_000, 1 << 20]),
    snapshotTickSteps: random.pick([1, 8]),
    snapshotTickMs: random.pick([0, 4]),
    snapshotTransfersMax: random.pick([1, 2]),
    snapshotRetryMs: heartbeatMs * 2,
    snapshotTimeoutMs: electionTimeoutMs * random.pick([2, 10]),
    // At least until whoever needs it has been heard of again.
    snapshotKeptMs: Math.max(4 * heartbeatMs, electionTimeoutMs * random.pick([0.1, 3])),
    inboxMessagesMax: random.pick([20, 100_000]),
    diskCheckMs: tickMs * other.pick([1, 4]),
    diskFreeBytesMin: other.pick([0, 3_000]),
    diskReserveBytes: other.pick([0, 1_000]),
    commitMs: electionTimeoutMs * other.pick([0, 0.1, 3]),
    commitRows: other.pick([1, 3, defaultLimits.commitRows]),
    caughtUpEntries: members.pick([0, 20, defaultLimits.caughtUpEntries]),
    knockKeptMs: electionTimeoutMs * members.pick([2, 6]),
    takeInMs: electionTimeoutMs,
    catchUpTickBytes: paced.pick([1, 300, defaultLimits.catchUpTickBytes]),
    snapshotLeisureBytes: paced.pick([40, 1_000, defaultLimits.snapshotLeisureBytes]),
    watchersMax: watching.pick([2, 1_000]),
    watchChangesMax: watching.pick([4, 40, 65_536, 65_536]),
    watchBytesMax: watching.pick([30_000, 8 << 20, 8 << 20]),
    watchProgressMs: electionTimeoutMs * watching.pick([0.2, 3]),
    ...(callers > 0 && { listBytesMax, countRowsMax }),
  };
  return {
    seed,
    nodeCount: random.pick([1, 3, 3, 3, 3, 3, 5, 5]),
    spareCount: members.pick([0, 0, 1, 2]),
    operatorEveryMs: electionTimeoutMs * members.pick([0, 0, 1, 5]),
    faults,
    faultEveryMs: electionTimeoutMs * random.pick([0.5, 2, 5]),
    durationMs: electionTimeoutMs * random.pick([20, 40, 60]),
    limits,
    logSizes: {
      segmentBytes: random.pick([300, 1_000, 5_000, 1 << 16]),
      preallocateBytes: random.pick([512, 1_024, 4_096]),
      cacheBytes: random.pick([0, 200, 1_000, 1 << 20]),
    },
    callsMax: random.pick([200, 1_000, 3_000]),
    clients: random.pick([1, 3, 6, 10]),
    keys: random.pick([1, 2, 5]),
    thinkMs: random.pick([1, 10, 50]),
    busyMs: electionTimeoutMs * resting.pick([1, 4]),
    quietMs: isQuiet ? electionTimeoutMs * resting.pick([5, 12]) : 0,
    valueBytesMax: random.pick([8, 600, 3_000]),
    latencyMs: random.pick([0.1, 1, 5]),
    sessions: lasting.pick([0, 0, 2, 5]),
    leaseMs: electionTimeoutMs * lasting.pick([0.3, 1, 3, 10]),
    watchers,
    watcherLimits: {
      queuedMax: watching.pick([1, 4, 1_024]),
      batchBytesMax: watching.pick([1, 2_000, 256 << 10]),
      scanMax: watching.pick([3, 50, 4_096]),
    },
    forgetEveryMs: electionTimeoutMs * watching.pick([0, 0, 10]),
    waitingReaders: watchers === 0 ? 0 : waiting.pick([0, 2, 5]),
    callers,
    // Where clocks run apart, nobody's time is held against another's.
    leaps: callers > 0 && mayLeap && faults.has("clockDrift"),
  };
}

/** One line, for a report. */
export function describeOptions(options: SimOptions): string {
  const { faults, limits, logSizes, ...plain } = options;
  const own = Object.entries(limits).filter(
    ([name, value]) => defaultLimits[name as keyof Limits] !== value,
  );
  return JSON.stringify({
    ...plain,
    faults: [...faults],
    limits: Object.fromEntries(own),
    logSizes,
  });
}
