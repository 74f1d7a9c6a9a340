/** One message of every type between nodes, with fields that are all different. */

import type { PeerMessage } from "../../server/peer-message.ts";
import {
  configuration,
  encodeConfiguration,
  type Member,
} from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Entry, type EntryKind } from "../../server/raft/entry.ts";

export const entry = (at: number, dataBytes = 3, kind: EntryKind = "command"): Entry => ({
  index: index(at),
  term: term(7),
  kind,
  timeMs: 1_700_000_000_000 + (at % 1_000),
  data: new Uint8Array(dataBytes).fill(at),
});

export const append = (firstIndex: number, entries: readonly Entry[]): PeerMessage => ({
  type: "append",
  term: term(7),
  previousIndex: index(firstIndex - 1),
  previousTerm: term(6),
  commitIndex: index(5),
  entries,
});

export const heartbeat = (readRound: number): PeerMessage => ({
  type: "heartbeat",
  term: term(7),
  commitIndex: index(11),
  readRound,
});

const members: readonly Member[] = [
  { id: nodeId(1), role: "voter", raft: "a:1", http: "a:2", incarnation: "0a" },
  { id: nodeId(2 ** 32 - 1), role: "learner", raft: "[::1]:1", http: "ü:2", incarnation: "0b" },
];

const memberList = (at: number): Entry => ({
  ...entry(at, 0, "configuration"),
  data: encodeConfiguration(configuration(members)),
});

const largest = 2 ** 48;
const last = { lastLogIndex: index(12), lastLogTerm: term(6) };

export const everyPeerMessage: readonly PeerMessage[] = [
  { type: "preVote", term: term(8), ...last },
  { type: "preVoteResponse", term: term(8), granted: true },
  { type: "vote", term: term(8), ...last, transfer: false },
  { type: "vote", term: term(largest), ...last, transfer: true },
  { type: "voteResponse", term: term(8), granted: false },
  append(3, []),
  append(3, [entry(3, 0, "noop"), entry(4, 300), entry(5, 70_000), memberList(6)]),
  append(largest - 1, [entry(largest - 1), entry(largest)]),
  { type: "appendAccepted", term: term(7), matchIndex: index(2 ** 40) },
  {
    type: "appendRejected",
    term: term(7),
    previousIndex: index(9),
    hintIndex: index(4),
    hintTerm: term(2),
  },
  heartbeat(3),
  { type: "heartbeatResponse", term: term(7), readRound: 3 },
  {
    type: "snapshotOffer",
    term: term(7),
    lastIndex: index(100),
    lastTerm: term(6),
    configuration: configuration(members, {
      revision: 99,
      retired: ["0c"],
      successors: [{ id: nodeId(2), role: "voter", raft: "c:1", http: "c:2", incarnation: "" }],
    }),
    id: 2 ** 48 - 1,
    bytes: 2 ** 41,
  },
  { type: "snapshotChunk", id: 0, offset: 2 ** 40, data: Uint8Array.of(0, 255) },
  { type: "snapshotProgress", id: 7, offset: 0, phase: "receiving" },
  { type: "snapshotProgress", id: 7, offset: 9, phase: "damaged" },
  { type: "snapshotProgress", id: 7, offset: 0, phase: "noRoom" },
  { type: "timeoutNow", term: term(7) },
  { type: "readIndex", term: term(7), requestId: 41 },
  { type: "readIndexResponse", term: term(7), requestId: 41, readIndex: index(11) },
  { type: "recoveryPoint", term: term(7), requestId: 42, lastIndex: index(10) },
  { type: "recoveryPointResponse", term: term(7), requestId: 42, lastIndex: index(12) },
  { type: "forward", commands: [Uint8Array.of(1, 2, 3), new Uint8Array(0)] },
  { type: "forwardRefused", reason: "notLeader", session: 2 ** 32 - 1, sequences: [4, 5] },
  { type: "forwardRefused", reason: "overloaded", session: 0, sequences: [] },
  { type: "forwardRefused", reason: "noSpace", session: 1, sequences: [1] },
  { type: "diskReport", room: "full" },
];
