/**
 * Mistakes that have been made in other systems, or nearly in this one, each as a change of a few words
 * to the source. The simulator has to notice every one.
 */

import { plantedCaseBugs } from "./planted-case-bugs.ts";
import { plantedMemberBugs } from "./planted-member-bugs.ts";
import { plantedReadBugs } from "./planted-read-bugs.ts";
import { plantedSessionBugs } from "./planted-session-bugs.ts";
import { plantedWatchBugs } from "./planted-watch-bugs.ts";

interface SourceChange {
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

export interface PlantedBug extends SourceChange {
  readonly name: string;
  /** Where a second line of defence would hide it. */
  readonly also?: SourceChange;
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "a vote is not synced",
    file: "storage/hard-state.ts",
    find: "        writeFully(this.#file, offset, bytes);\n        this.#file.sync();",
    replace: "        writeFully(this.#file, offset, bytes);",
  },
  {
    name: "promises leave although the term is not on disk",
    file: "server/raft/raft.ts",
    find: "const ahead = this.#hardStateChanged ? [] : this.#messages;",
    replace:
      "const ahead = this.#hardStateChanged\n      ? [...this.#messages, ...this.#messagesAfterSync]\n      : this.#messages;",
  },
  {
    name: "a second vote in a term",
    file: "server/raft/raft.ts",
    find: "    this.#vote = options.hardState.vote;",
    replace: "    this.#vote = null;",
  },
  {
    name: "a vote for a log that is less complete",
    file: "server/raft/log-view.ts",
    find: "lastTerm > ownTerm || (lastTerm === ownTerm && lastIndex >= own)",
    replace: "lastTerm >= ownTerm || lastIndex >= own",
  },
  {
    name: "what a full disk refused is acknowledged",
    file: "server/raft/raft.ts",
    find: "if (!this.log.isHeld) return envelopes;",
    replace: "return envelopes;",
  },
  {
    name: "who has entries that a full disk refused stands for election",
    file: "server/raft/raft.ts",
    find: "    if (this.log.isRefused) return false;\n",
    replace: "",
  },
  {
    name: "acknowledged before the sync",
    file: "server/node.ts",
    find: "    this.#send(ready.messages);\n    if (ready.hardState)",
    replace:
      "    this.#send([...ready.messages, ...ready.messagesAfterSync]);\n    if (ready.hardState)",
  },
  {
    name: "the log is not synced",
    file: "storage/raft-log.ts",
    find: "    this.#ending(() => {\n      this.#activeFile.sync();\n    });",
    replace: "    this.#ending(() => {});",
  },
  {
    name: "the leader counts itself before its sync",
    file: "server/node.ts",
    find: "        log.sync();\n        this.#raft.persisted(last.index, last.term);",
    replace:
      "        this.#raft.persisted(last.index, last.term);\n        this.#apply();\n        log.sync();",
  },
  {
    name: "entries of an older term are committed by counting",
    file: "server/raft/leader.ts",
    find: "if (to <= log.commitIndex || log.term(to) !== raft.term) return;",
    replace: "if (to <= log.commitIndex) return;",
  },
  {
    name: "a minority commits",
    file: "server/raft/quorum.ts",
    find: "return values[majority(ids.length) - 1] ?? 0;",
    replace: "return values[majority(ids.length) - 2] ?? 0;",
  },
  {
    name: "an append cuts off without a conflict",
    file: "server/raft/log-view.ts",
    find: "if (!this.matches(entry.index, entry.term)) return i;",
    replace:
      "if (!this.matches(entry.index, entry.term) || entry.index > this.#commitIndex) return i;",
  },
  {
    name: "a conflict is not cut off",
    file: "server/raft/log-view.ts",
    find: "if (!this.matches(entry.index, entry.term)) return i;",
    replace: "if (this.term(entry.index) === null) return i;",
  },
  {
    name: "an append is taken without comparing what it follows",
    file: "server/raft/follower.ts",
    find: "if (!log.matches(message.previousIndex, message.previousTerm)) {",
    replace: "if (message.previousIndex > log.lastIndex) {",
  },
  {
    name: "a read without a quorum",
    file: "server/raft/leader.ts",
    find: "id === raft.self ? leader.reads.newest : (leader.progress.get(id)?.readRound ?? 0),",
    replace: "id === raft.self ? leader.reads.newest : leader.reads.newest,",
  },
  {
    name: "a new leader answers reads before it has committed anything",
    file: "server/raft/leader.ts",
    find: "  if (!hasCommittedInTerm(raft)) {\n    if (leader.earlyReads",
    replace: "  if (raft.term < 0) {\n    if (leader.earlyReads",
  },
  {
    name: "who asks is enough for everybody's reads",
    file: "server/raft/leader.ts",
    find: "    answerRead(raft, { ...read, readIndex: raft.log.commitIndex });\n",
    replace:
      "    answerRead(raft, { ...read, readIndex: raft.log.commitIndex });\n" +
      '    must(leader.progress.get(read.from), "known").readRound = leader.reads.newest;\n' +
      "    releaseReads(raft, leader);\n",
  },
  {
    name: "a read is answered before its index is applied",
    file: "server/pending-reads.ts",
    find: "const due = this.#confirmed.filter(({ readIndex }) => readIndex <= appliedIndex);",
    replace:
      "const due = this.#confirmed.filter(({ readIndex }) => readIndex <= appliedIndex + 1);",
  },
  {
    name: "a forwarded write that comes twice is written twice",
    file: "server/seen-forwards.ts",
    find: "if (header.sequence <= seen.highest) return false;",
    replace: "if (header.sequence < 0) return false;",
  },
  {
    name: "a write is called refused although it was handed on",
    file: "server/pending-writes.ts",
    find: 'this.#settle(oldest, { ok: false, error: "timeout", outcome: "unknown" });',
    replace: 'this.#settle(oldest, { ok: false, error: "timeout", outcome: "not_applied" });',
  },
  {
    name: "a write is tried again although its fate is unknown",
    file: "server/pending-writes.ts",
    find: "  forwarded(writes: readonly PendingWrite[]): void {\n    for (const write of writes) write.place = forwarded;",
    replace:
      "  forwarded(writes: readonly PendingWrite[]): void {\n    for (const write of writes) this.returned(write);",
  },
  {
    name: "another leader's entry answers a write",
    file: "server/pending-writes.ts",
    find: "if (expected && expected !== own && !expected.settled) {",
    replace:
      "if (expected && result) this.#settle(expected, { ok: true, result });\n    if (expected && expected !== own && !expected.settled) {",
  },
  {
    name: "the applied index is stored in a second transaction",
    file: "test/sim/machine.ts",
    find: "    this.#file.commit(committing);",
    replace:
      "    const { changes, after } = committing;\n    this.#file.commit({ changes, after: this.#file.read().state });\n    this.#file.commit({ changes: [], after });",
  },
  {
    name: "what a failed sync left behind is believed after a restart",
    file: "storage/raft-log.ts",
    find: "    rewriteUnvouched(this.#active);\n    if (hasTornTail)",
    replace: "    if (hasTornTail)",
  },
  {
    name: "what a killed process left in memory is not synced at the start",
    file: "storage/raft-log.ts",
    find: "    if (hasTornTail) this.#cutFile(this.#writeOffset);\n    else this.#activeFile.sync();",
    replace: "    if (hasTornTail) this.#cutFile(this.#writeOffset);",
  },
  {
    name: "damage is taken for a torn tail",
    file: "storage/segment-scan.ts",
    find: "  return isTorn(bytes, at, header.salt)\n",
    replace: "  return isTorn(bytes, at, header.salt) || at > 0\n",
  },
  {
    name: "a new segment's name is not synced",
    file: "storage/segment.ts",
    find: "    file.sync();\n    disk.syncDirectory(directory);\n    return file;",
    replace: "    file.sync();\n    return file;",
  },
  {
    name: "a full segment is left unsynced",
    file: "storage/raft-log.ts",
    find: "    const old = this.#active;\n    this.#activeFile.sync();",
    replace: "    const old = this.#active;",
  },
  {
    name: "the older of two copies of term and vote is believed",
    file: "storage/hard-state.ts",
    find: "slot && (!best || slot.sequence > best.sequence) ? slot : best,",
    replace: "slot && (!best || slot.sequence < best.sequence) ? slot : best,",
  },
  {
    name: "a record that the disk wrote to another place is not missed",
    file: "storage/segment-scan.ts",
    find: "  if (behind.isNextElsewhere) return",
    replace: "  if (behind.isNextElsewhere && at === 0) return",
  },
  {
    name: "the log is compacted beyond what the state machine has made durable",
    file: "server/upkeep.ts",
    find: "log.compact(index(Math.min(target, this.#syncedIndex)));",
    replace: "log.compact(index(Math.min(target, this.#options.machine.applied.appliedIndex)));",
  },
  {
    name: "a node that has lost entries calls itself whole at once",
    file: "server/raft/recovery.ts",
    find: "    if (point?.term !== term || log.pendingSnapshot !== null) return false;",
    replace: "    if (point?.term !== term || log.pendingSnapshot !== null) return true;",
  },
  {
    name: "a damaged log is cut without a note",
    file: "storage/log-mending.ts",
    find: '  options.note.ensure("log", `${damage.path}: ${damage.detail}`);\n',
    replace: "",
  },
  {
    name: "a snapshot's switch is not noted before it begins",
    file: "storage/snapshot-files.ts",
    find: "    log.prepareReset({ lastIndex, lastTerm });\n",
    replace: "",
  },
  {
    name: "what is compacted is sent as if it were there",
    file: "storage/raft-log.ts",
    find: "    if (at > this.#lastIndex || at < this.firstIndex - 1) return null;",
    replace:
      "    if (at > this.#lastIndex) return null;\n    if (at < this.firstIndex - 1) return term(1);",
  },
  {
    name: "a condition on a revision is not looked at",
    file: "server/state-machine/transact.ts",
    find: "conditions.every((condition) => holds(rows, condition))",
    replace: 'conditions.every((one) => one.kind === "revision" || holds(rows, one))',
  },
  {
    name: "of a transaction only the first change is made",
    file: "server/state-machine/rows.ts",
    find: "for (const [key, row] of this.#changes) {\n      if (row",
    replace: "for (const [key, row] of [...this.#changes].slice(0, 1)) {\n      if (row",
  },
  {
    name: "a follower commits up to its own last entry",
    file: "server/raft/follower.ts",
    find: "raft.commitTo(index(Math.min(message.commitIndex, lastNew)));",
    replace: "raft.commitTo(index(Math.min(message.commitIndex, log.lastIndex)));",
  },
  {
    name: "any newer answer confirms the newest read round",
    file: "server/raft/leader.ts",
    find: "  progress.readRound = readRound;\n",
    replace: "  progress.readRound = leader.reads.newest;\n",
  },
  {
    name: "a leader that rests sleeps for sixty heartbeats",
    file: "server/raft/leader.ts",
    find: "return Math.max(1, raft.restHeartbeatTicks - leader.heartbeatElapsed);",
    replace: "return 60 * raft.options.heartbeatTicks;",
  },
  {
    name: "the ticks of a rest count as one",
    file: "server/node.ts",
    find: "    for (let tick = 0; tick < ticks; tick++) this.#raft.tick();\n",
    replace: "",
  },
  {
    name: "a follower that rests sleeps for sixty heartbeats",
    file: "server/raft/raft.ts",
    find: "return Math.max(1, Math.min(left - 1, 2 * this.restHeartbeatTicks));",
    replace: "return Math.max(1, 60 * this.options.heartbeatTicks + 0 * left);",
  },
  {
    name: "a snapshot's checksums are not compared",
    file: "storage/chunk-file.ts",
    find: "if (checksum !== decoded.checksum || decoded.number !== this.#number) {",
    replace: "if (decoded.number !== this.#number) {",
  },
  {
    name: "a leader without a majority does not step down",
    file: "server/raft/leader.ts",
    find: "voters.filter(isActive).length >= majority(voters.length);",
    replace: "voters.filter(isActive).length >= 1;",
  },
  {
    name: "the name of the note about a truncation is not synced",
    file: "storage/log-note.ts",
    find: "  file.sync();\n  file.close();\n  disk.syncDirectory(directory);\n",
    replace: "  file.sync();\n  file.close();\n",
  },
  {
    name: "the name of the note about damage is not synced",
    file: "storage/mending-note.ts",
    find: "    this.#disk.rename(path, this.#path);\n    this.#disk.syncDirectory(this.#directory);\n",
    replace: "    this.#disk.rename(path, this.#path);\n",
  },
  ...plantedCaseBugs,
  ...plantedMemberBugs,
  ...plantedReadBugs,
  ...plantedSessionBugs,
  ...plantedWatchBugs,
];
