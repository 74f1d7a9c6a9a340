/**
 * The writes this node took from its clients and has not answered yet. Where each one is decides
 * what a failure means: what was never handed to a leader is `not_applied`, the rest is `unknown`.
 */

import type { ForwardRefused } from "./peer-message.ts";
import { assert } from "./raft/assert.ts";
import type { Index, NodeId, Term } from "./raft/entry.ts";
import { frameCommand, type CommandHeader } from "./state-machine/command-header.ts";
import type { CommandResult } from "./state-machine/command.ts";

export type WriteAnswer =
  | { readonly ok: true; readonly result: CommandResult }
  | {
      readonly ok: false;
      readonly error: "noLeader" | "timeout" | "overloaded" | "noSpace" | "stopping";
      readonly outcome: "not_applied" | "unknown";
    };

/**
 * - `waiting`: for a leader; nobody else knows of it.
 * - `proposed`: in this node's own log, as leader of `term`, at `index`.
 * - `forwarded`: on its way to another node, or in that node's log.
 */
type Place =
  | { readonly kind: "waiting" }
  | { readonly kind: "proposed"; readonly index: Index; readonly term: Term }
  | { readonly kind: "forwarded" };

export interface PendingWrite {
  readonly command: Uint8Array;
  readonly startMs: number;
  readonly done: (answer: WriteAnswer) => void;
  place: Place;
  /** Names the current attempt; a refused attempt's number is never used again. 0 before the first. */
  attempt: number;
  settled: boolean;
}

export interface PendingWritesOptions {
  readonly self: NodeId;
  /** A random number below 2^32: tells this process's writes from those of its earlier lives. */
  readonly session: number;
  readonly writesMax: number;
  readonly bytesMax: number;
}

export interface AppliedCommand {
  readonly index: Index;
  /** Null where the entry carries no command. */
  readonly header: CommandHeader | null;
}

const waiting: Place = { kind: "waiting" };
const forwarded: Place = { kind: "forwarded" };
const noSpace: WriteAnswer = { ok: false, error: "noSpace", outcome: "not_applied" };
const goneElsewhere: WriteAnswer = { ok: false, error: "stopping", outcome: "not_applied" };
const sequencesPerSession = 2 ** 32;

export class PendingWrites {
  readonly #options: PendingWritesOptions;
  /** In the order they came: a set keeps it, and lets go of the settled ones at once. */
  readonly #order = new Set<PendingWrite>();
  #waiting: PendingWrite[] = [];
  readonly #byAttempt = new Map<number, PendingWrite>();
  readonly #byIndex = new Map<Index, PendingWrite>();
  #lastAttempt = 0;
  #bytes = 0;

  constructor(options: PendingWritesOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#order.size;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Returns false, and does not keep it, where too many wait already. */
  add(command: Uint8Array, startMs: number, done: (answer: WriteAnswer) => void): boolean {
    const { writesMax, bytesMax } = this.#options;
    if (this.#order.size >= writesMax || this.#bytes + command.byteLength > bytesMax) return false;
    const write = { command, startMs, done, place: waiting, attempt: 0, settled: false };
    this.#bytes += command.byteLength;
    this.#order.add(write);
    this.#waiting.push(write);
    return true;
  }

  /** All waiting writes, each framed for a new attempt. The caller says next where they went. */
  takeWaiting(): { writes: PendingWrite[]; frames: Uint8Array[] } {
    const writes = this.#waiting.filter((write) => !write.settled);
    this.#waiting = [];
    return { writes, frames: writes.map((write) => this.#frame(write)) };
  }

  proposed(writes: readonly PendingWrite[], firstIndex: Index, term: Term): void {
    let at = firstIndex;
    for (const write of writes) {
      write.place = { kind: "proposed", index: at, term };
      this.#byIndex.set(at, write);
      at = (at + 1) as Index;
    }
  }

  forwarded(writes: readonly PendingWrite[]): void {
    for (const write of writes) write.place = forwarded;
  }

  /** The attempt surely came to nothing: the write waits for the next one. */
  returned(write: PendingWrite): void {
    if (write.settled) return;
    this.#byAttempt.delete(write.attempt);
    write.place = waiting;
    this.#waiting.push(write);
  }

  /**
   * The node they were forwarded to did not take them. Where that is for want of room on some voter's
   * disk, nobody else would take them either.
   */
  refused({ reason, session, sequences }: ForwardRefused): void {
    for (const sequence of sequences) {
      const write = this.#byAttempt.get(this.#attemptOf(session, sequence));
      if (write?.place.kind !== "forwarded") continue;
      if (reason === "noSpace") this.#settle(write, noSpace);
      else this.returned(write);
    }
  }

  /** Answers those of the waiting writes that there is no room for. */
  refuseWaiting(isRefused: (command: Uint8Array) => boolean): void {
    for (const write of this.#waiting) if (isRefused(write.command)) this.#settle(write, noSpace);
    this.#waiting = this.#waiting.filter((write) => !write.settled);
  }

  /** This node is no member any more: others take them. */
  giveUpWaiting(): void {
    for (const write of this.#waiting) this.#settle(write, goneElsewhere);
    this.#waiting = [];
  }

  /**
   * An entry was applied. Answers the write it carries, if it is one of ours; and whatever we had
   * proposed for that place and is not this entry can never commit any more.
   */
  applied(entry: AppliedCommand, result: CommandResult | null): void {
    const expected = this.#byIndex.get(entry.index);
    if (expected) this.#byIndex.delete(entry.index);
    const own = entry.header === null ? undefined : this.#ownWrite(entry.header);
    if (own && result) this.#settle(own, { ok: true, result });
    if (expected && expected !== own && !expected.settled) {
      const stillThere = expected.place.kind === "proposed" && expected.place.index === entry.index;
      if (stillThere) this.returned(expected);
    }
  }

  /** Answers what has waited too long: for a leader since `leaderless`, altogether since `deadline`. */
  expire(options: {
    nowMs: number;
    leaderlessMs: number;
    deadlineMs: number;
    /** Then what waits does so because the leader does not take it. */
    hasLeader: boolean;
  }): void {
    const { nowMs, leaderlessMs, deadlineMs, hasLeader } = options;
    const error = hasLeader ? "overloaded" : "noLeader";
    for (const write of this.#waiting) {
      if (nowMs - write.startMs < leaderlessMs) continue;
      this.#settle(write, { ok: false, error, outcome: "not_applied" });
    }
    this.#waiting = this.#waiting.filter((write) => !write.settled);
    for (const oldest of this.#order) {
      if (nowMs - oldest.startMs < deadlineMs) break;
      this.#settle(oldest, { ok: false, error: "timeout", outcome: "unknown" });
    }
  }

  /** Answers everything, because the node stops. */
  close(): void {
    for (const write of [...this.#order]) {
      const outcome = write.place.kind === "waiting" ? "not_applied" : "unknown";
      this.#settle(write, { ok: false, error: "stopping", outcome });
    }
  }

  #frame(write: PendingWrite): Uint8Array {
    this.#lastAttempt++;
    write.attempt = this.#lastAttempt;
    this.#byAttempt.set(write.attempt, write);
    const { self, session } = this.#options;
    const generation = Math.floor(write.attempt / sequencesPerSession);
    return frameCommand(
      {
        origin: self,
        session: (session + generation) % sequencesPerSession,
        sequence: write.attempt % sequencesPerSession,
      },
      write.command,
    );
  }

  #ownWrite(header: CommandHeader): PendingWrite | undefined {
    if (header.origin !== this.#options.self) return undefined;
    return this.#byAttempt.get(this.#attemptOf(header.session, header.sequence));
  }

  /** Where the session is of another life, no attempt of this one has that number. */
  #attemptOf(session: number, sequence: number): number {
    const generation =
      (session - this.#options.session + sequencesPerSession) % sequencesPerSession;
    return generation * sequencesPerSession + sequence;
  }

  #settle(write: PendingWrite, answer: WriteAnswer): void {
    if (write.settled) return;
    write.settled = true;
    this.#order.delete(write);
    this.#bytes -= write.command.byteLength;
    assert(this.#bytes >= 0, "every write is settled once");
    this.#byAttempt.delete(write.attempt);
    if (write.place.kind === "proposed") {
      const { index } = write.place;
      if (this.#byIndex.get(index) === write) this.#byIndex.delete(index);
    }
    write.done(answer);
  }
}
