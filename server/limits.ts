/** Every timing and maximum the node works with, by name; `/v1/status` shows them. */

import { waitMsMax } from "./duration.ts";
import {
  conditionsMax,
  operationsMax,
  rangeRowsMax,
  resultBytesMax,
} from "./state-machine/transaction.ts";
import {
  contentTypeBytesMax,
  keyBytesMax,
  requestKeyBytesMax,
  ttlMsMax,
  valueBytesMax,
} from "./state-machine/command.ts";
import { deadlinesMax, expiredPerEntry } from "./state-machine/deadlines.ts";
import { queueNameBytesMax } from "./state-machine/hidden-rows.ts";
import { leasedKeysMax, leaseKeysMax } from "./state-machine/leased-keys.ts";
import {
  onceResultBytesMax,
  requestKeptMs,
  requestsBytesMax,
  requestsMax,
} from "./state-machine/once.ts";

export interface Limits {
  /** Silence after which an election is due; each node draws between this and twice this. */
  readonly electionTimeoutMs: number;
  /** The same once after a start, and after the connection to the leader broke. */
  readonly firstElectionTimeoutMs: number;
  readonly heartbeatMs: number;
  /** The same while every member has everything and nobody waits for anything. */
  readonly restHeartbeatMs: number;
  /** The core's unit of time. */
  readonly tickMs: number;
  /** How long a write may take before its fate is reported as unknown. */
  readonly requestDeadlineMs: number;
  /** How long a request waits for a leader before it is refused: two election timeouts. */
  readonly leaderlessHoldMs: number;
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly contentTypeBytesMax: number;
  /** Rows in one listing. */
  readonly listRowsMax: number;
  readonly listRowsDefault: number;
  /** Bytes of keys and values in one listing (at least one row is given). */
  readonly listBytesMax: number;
  /** Rows counted before other work gets a turn. */
  readonly countRowsMax: number;
  /** Rows that are gone, and that a listing or a count passes over before other work gets a turn. */
  readonly listGoneMax: number;
  /** Bytes of one write, as it goes into the log. */
  readonly commandBytesMax: number;
  /**
   * Bytes of a transaction as JSON. A command of the greatest size fits where its values are in base64,
   * or text of which few characters need an escape.
   */
  readonly transactionBytesMax: number;
  /** Of one transaction: conditions, operations on either side, and what its ranges may reach. */
  readonly conditionsMax: number;
  readonly operationsMax: number;
  readonly rangeRowsMax: number;
  /** Bytes of values that one transaction reads into its results or makes longer. */
  readonly resultBytesMax: number;
  /** The longest TTL, and the rows that may have one. */
  readonly ttlMsMax: number;
  readonly deadlinesMax: number;
  /** Rows that one lease may have, and all together; and bytes of the name of a lock or an election. */
  readonly leaseKeysMax: number;
  readonly leasedKeysMax: number;
  readonly queueNameBytesMax: number;
  /** Rows that one entry lets go. */
  readonly expiredPerEntry: number;
  /** Characters of an idempotency key. */
  readonly requestKeyBytesMax: number;
  /** Requests remembered under their idempotency keys, their bytes, and for how long. */
  readonly requestsMax: number;
  readonly requestsBytesMax: number;
  readonly requestKeptMs: number;
  /** Bytes of the results of one of them. */
  readonly onceResultBytesMax: number;
  /** Writes that wait for their result on this node. */
  readonly pendingWritesMax: number;
  readonly pendingWriteBytesMax: number;
  /** Reads that wait on this node. */
  readonly pendingReadsMax: number;
  /** Watchers on this node, reads that wait for a change among them. */
  readonly watchersMax: number;
  /** Changes that this node remembers for watchers that come back, and their bytes. */
  readonly watchChangesMax: number;
  readonly watchBytesMax: number;
  /** Between two signs to a watcher that nothing was left out. */
  readonly watchProgressMs: number;
  /** How long a read may wait for a change, and for a state that is recent enough. */
  readonly changeWaitMsMax: number;
  readonly recencyWaitMsMax: number;
  /** Entry bytes in one message to a peer. */
  readonly appendBytesMax: number;
  /**
   * Entry bytes of a tick for those who lack what is committed, while there are writes: so many at least,
   * and a few times what is written.
   */
  readonly catchUpTickBytes: number;
  /** Appends to one peer without an answer. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Entry bytes a leader holds uncommitted. */
  readonly uncommittedBytesMax: number;
  /** Entry bytes applied at a time. */
  readonly applyBytesMax: number;
  /**
   * Entry bytes applied after which they are committed to the database, and how long they wait for it
   * where they are few: what waits is applied again from the log by a start after a kill.
   */
  readonly commitBytes: number;
  readonly commitMs: number;
  /**
   * Pages after which the same is done where rows are scattered over so many that hardly one is changed twice
   * meanwhile: nothing is saved by gathering more, and what is written at once is what a sync waits for.
   */
  readonly commitPages: number;
  /** Rows written at a time beside other work, or twice as many as were changed meanwhile. */
  readonly commitRows: number;
  /** Unsynced database bytes that are not exceeded where a checkpoint can help it. */
  readonly checkpointBytes: number;
  /** Bytes of the state's file given back in a tick where much of it is free. */
  readonly shrinkTickBytes: number;
  /** And as many of them before a checkpoint cuts the file. */
  readonly shrinkBytes: number;
  /** The same after so long without anything to apply, however little is unsynced. */
  readonly checkpointIdleMs: number;
  /**
   * With less than this free on any voter's disk the cluster takes no writes that need room; at most an
   * eighth of the disk. Where the state is larger, its size counts, so that a snapshot finds room.
   */
  readonly diskFreeBytesMin: number;
  /** Room that is kept for what has to be written on a full disk; at most a thirty-second of the disk. */
  readonly diskReserveBytes: number;
  /** Between two looks at the disk, and two tries to write to a full one. */
  readonly diskCheckMs: number;
  /** Entries that stay in the log for followers that come back. */
  readonly logEntriesMax: number;
  /**
   * Where the state is small, so is the tail of the log: it gets no longer than half of the state, nor
   * has it to be shorter than this. Sending the state is no dearer than sending the tail then.
   */
  readonly logTailBytesMin: number;
  /** Bytes of the log beyond which no follower's needs keep entries in it. */
  readonly logBytesMax: number;
  /** Bytes of a snapshot in one message. */
  readonly snapshotChunkBytes: number;
  /** Bytes of a snapshot on the way to one follower without an answer. */
  readonly snapshotWindowBytes: number;
  /** Bytes of snapshots sent in a tick, to all followers together. */
  readonly snapshotTickBytes: number;
  /** The same while others write and there is time. */
  readonly snapshotLeisureBytes: number;
  /** Pieces of work on a snapshot, of 128 KiB or one row, in a tick. */
  readonly snapshotTickSteps: number;
  /** Once they have taken this long, the rest of them waits for the next tick. */
  readonly snapshotTickMs: number;
  /** Followers that are sent a snapshot at the same time. */
  readonly snapshotTransfersMax: number;
  /** Silence after which what was sent of a snapshot is sent again. */
  readonly snapshotRetryMs: number;
  /** Silence after which a transfer is given up. */
  readonly snapshotTimeoutMs: number;
  /** How long a snapshot that nobody is being sent is kept for the next one. */
  readonly snapshotKeptMs: number;
  /** Entries that a learner may lack and still be promoted. */
  readonly caughtUpEntries: number;
  /** How long a directory that asked to be let in counts as being there. */
  readonly knockKeptMs: number;
  /**
   * How long it has to be there, and the one whose place it wants away, before that one is retired for
   * it. That is for good, and the wrong directory may have been started by mistake.
   */
  readonly takeInMs: number;
  /** Messages from peers taken in between two drains; more are dropped. */
  readonly inboxMessagesMax: number;
}

const commandBytesMax = 4 << 20;

export const defaultLimits: Limits = {
  electionTimeoutMs: 1_000,
  firstElectionTimeoutMs: 250,
  heartbeatMs: 100,
  restHeartbeatMs: 200,
  tickMs: 25,
  requestDeadlineMs: 5_000,
  leaderlessHoldMs: 2_000,
  keyBytesMax,
  valueBytesMax,
  contentTypeBytesMax,
  listRowsMax: 10_000,
  listRowsDefault: 1_000,
  listBytesMax: 4 << 20,
  countRowsMax: 10_000,
  listGoneMax: 10_000,
  commandBytesMax,
  transactionBytesMax: 2 * commandBytesMax,
  conditionsMax,
  operationsMax,
  rangeRowsMax,
  resultBytesMax,
  ttlMsMax,
  deadlinesMax,
  leaseKeysMax,
  leasedKeysMax,
  queueNameBytesMax,
  expiredPerEntry,
  requestKeyBytesMax,
  requestsMax,
  requestsBytesMax,
  requestKeptMs,
  onceResultBytesMax,
  pendingWritesMax: 16_384,
  pendingWriteBytesMax: 64 << 20,
  pendingReadsMax: 65_536,
  watchersMax: 1_000,
  watchChangesMax: 65_536,
  watchBytesMax: 8 << 20,
  watchProgressMs: 5_000,
  changeWaitMsMax: waitMsMax,
  recencyWaitMsMax: 60_000,
  appendBytesMax: 1 << 20,
  catchUpTickBytes: 128 << 10,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 << 20,
  uncommittedBytesMax: 64 << 20,
  applyBytesMax: 2 << 20,
  commitBytes: 4 << 20,
  commitMs: 15_000,
  commitPages: 1_000,
  commitRows: 16,
  checkpointBytes: 24 << 20,
  diskFreeBytesMin: 64 << 20,
  diskReserveBytes: 4 << 20,
  diskCheckMs: 500,
  shrinkTickBytes: 256 << 10,
  shrinkBytes: 32 << 20,
  checkpointIdleMs: 5_000,
  logEntriesMax: 65_536,
  logTailBytesMin: 4 << 20,
  logBytesMax: 64 << 20,
  snapshotChunkBytes: 128 << 10,
  snapshotWindowBytes: 2 << 20,
  snapshotTickBytes: 512 << 10,
  snapshotLeisureBytes: 128 << 10,
  snapshotTickSteps: 8,
  snapshotTickMs: 4,
  snapshotTransfersMax: 2,
  snapshotRetryMs: 1_000,
  snapshotTimeoutMs: 10_000,
  snapshotKeptMs: 30_000,
  caughtUpEntries: 1_000,
  knockKeptMs: 6_000,
  takeInMs: 2_000,
  inboxMessagesMax: 100_000,
};

const goldenRatio = 0.618_034;

/**
 * How much a node gathers for a transaction, each a little less than it may. All apply the same entries: with
 * equal limits nodes that began together would flush at the same moments for ever, and no majority would have
 * its disks free then. Multiples of the golden ratio keep any few neighbours apart (Knuth, TAOCP 3, §6.4).
 */
export function gatheringOf(self: number): Pick<Limits, "commitBytes" | "commitPages"> {
  const part = 1 - ((self * goldenRatio) % 1) / 5;
  const { commitBytes, commitPages } = defaultLimits;
  return {
    commitBytes: Math.floor(part * commitBytes),
    commitPages: Math.floor(part * commitPages),
  };
}
