/**
 * # The search for an order
 *
 * A history of one key is linearizable if its operations can be put in an order that respects real
 * time (what returned before another was called comes first) and in which a single object would have
 * given the same outputs. This is the search of Wing and Gong ("Testing and Verifying Concurrent
 * Objects", 1993) with the cache of Lowe ("Testing for Linearizability", 2017), in the form Porcupine
 * gave it: a list of calls and returns in order of time, from which an operation is lifted when it is
 * placed. Any call before the first return that is left may be placed next. Where none fits, the
 * last operation placed goes back into the list and the search goes on behind it.
 *
 * **Configurations.** What can still happen depends on which operations are placed and on the state,
 * not on the order that led there, so no such configuration is entered twice. Everything placed was
 * called before the first return that is left; hence the calls before that return that are *not*
 * placed, no more than there are clients, say which ones are, and a key is short however long the
 * history.
 *
 * **A read that fits** and tells nothing new is placed at once and for good: whatever could be placed
 * before it can be placed behind it. Otherwise every selection of concurrent reads is a configuration.
 * A write of what is there already is no such thing, since elsewhere it may be needed.
 *
 * **Ranks.** Where outputs tell in which order operations took effect, as revisions do, another order is
 * not tried (`Model.ranks`), which leaves next to nothing of the search.
 *
 * **Unknown operations** have no return, so they never have to be placed, and all of them are
 * candidates for ever. Three things keep them from multiplying the configurations by 2^n:
 * - They are not in the list. Only where no operation with an output fits are they tried, the fewest
 *   that let one fit, and states reached twice that way are entered once.
 * - Those that do the same (`Model.inputKey`) are used in the order of their calls, which is no
 *   restriction: swapping two of them changes no state. So a number for each kind says which ones.
 * - A configuration is skipped if one with the same placed operations and state was entered that had
 *   used no more of any kind: whatever the one can still do, the other can.
 *
 * Besides, `Model.resolve` makes many of them known before the search begins.
 *
 * **What stays exponential.** The problem is NP-complete. Concurrent operations whose outputs do not
 * tell them apart (increments with unknown outcome by many different amounts, whose sums have to be
 * guessed; conditional writes that may each have followed any of the others) can still have
 * exponentially many orders, above all in a history that is not linearizable, where all of them have to
 * be refuted. Then the limit on steps ends the search: *undecided* says that no order was found and that
 * it was not shown that there is none. It is no verdict of either kind.
 */

import { assert, must } from "../../server/raft/assert.ts";
import { eventList, putBack, takeOut, type Event, type Link } from "./event-list.ts";
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";

export type Finding = "found" | "none" | "undecided";

/** An order that explains its outputs. */
export interface Order {
  /** Of the operations the search was given: those with an output, and unknown ones it needs. */
  readonly offsets: readonly number[];
  /** The state it leads to, as text. */
  readonly state: string;
}

/** Unknown operations that do the same, in the order of their calls. */
interface Kind<Input> {
  readonly input: Input;
  readonly offsets: number[];
  readonly callTimes: number[];
}

/** A state that unknown operations lead to, without any known one between them. */
interface Reached<State> {
  readonly state: State;
  readonly key: string;
  /** How many of each kind are placed by now, in all. Never changed, often shared. */
  readonly used: Uint32Array;
  /** The last one placed, and what it was placed after; null where none was. */
  readonly offset: number;
  readonly after: Reached<State> | null;
  /** Nothing else has to be tried from here: a read fitted. */
  isSettled: boolean;
}

/** A configuration on the way from the empty order to the present one. */
interface Frame<State, Input, Output> {
  /** The first is the configuration itself; unknown operations add others when they are needed. */
  readonly reached: Reached<State>[];
  /** The one from which known operations are being tried. */
  at: number;
  /** Those before it have been tried for what one more unknown operation makes of them. */
  extended: number;
  /** The call to try next. */
  candidate: Event<Input, Output> | null;
  /** The call that is placed while a later frame is the present one. */
  placed: Event<Input, Output> | null;
}

export class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #stepsMax: number;
  readonly #head: Link<Input, Output>;
  readonly #kinds: Kind<Input>[] = [];
  readonly #frames: Frame<State, Input, Output>[] = [];
  /** Placed operations and state, as text: the least used of each kind with which that was entered. */
  readonly #entered = new Map<string, Uint32Array[]>();
  /** Of each operation: the offset of its rank among all ranks; -1 if it has none. */
  readonly #ranks: Int32Array;
  /** Of each rank: how many operations are not placed. */
  readonly #unplacedOfRank: Uint32Array;
  #steps = 0;

  /** `stepsMax`: the most steps of the model to take. */
  constructor(
    model: Model<State, Input, Output>,
    operations: readonly Operation<Input, Output>[],
    stepsMax: number,
  ) {
    this.#model = model;
    this.#stepsMax = stepsMax;
    const resolved = model.resolve?.(operations) ?? operations;
    assert(resolved.length === operations.length, "resolving keeps the number of operations");
    this.#head = eventList(resolved);
    this.#ranks = withoutGaps(model.ranks?.(resolved) ?? []);
    this.#unplacedOfRank = new Uint32Array(operations.length);
    for (const offset of resolved.keys()) this.#countUnplaced(offset, 1);
    this.#sortUnknown(resolved);
  }

  /** To be called once. */
  run(): Finding {
    const initial = this.#model.initial();
    this.#enter(initial, this.#model.stateKey(initial), new Uint32Array(this.#kinds.length));
    if (this.#head.next === null) return "found";
    for (;;) {
      const frame = this.#frames.at(-1);
      if (frame === undefined) return "none";
      if (this.#steps > this.#stepsMax) return "undecided";
      const call = frame.candidate;
      if (call !== null && call.isCall && frame.reached[frame.at]?.isSettled === false) {
        frame.candidate = call.next;
        this.#try(frame, call);
        if (this.#head.next === null) return "found";
      } else if (!this.#nextReached(frame)) {
        this.#leave();
      }
    }
  }

  /** The order that the search found. */
  order(): Order {
    assert(this.#head.next === null, "an order was found");
    const offsets: number[] = [];
    for (const { reached, at, placed } of this.#frames) {
      if (placed === null) break;
      const unknown: number[] = [];
      let from = reached[at] ?? null;
      for (; from !== null && from.after !== null; from = from.after) unknown.push(from.offset);
      offsets.push(...unknown.toReversed(), placed.offset);
    }
    const last = must(this.#frames.at(-1)?.reached[0], "the last frame is at a state");
    return { offsets, state: last.key };
  }

  #enter(state: State, key: string, used: Uint32Array): void {
    this.#frames.push({
      reached: [{ state, key, used, offset: -1, after: null, isSettled: false }],
      at: 0,
      extended: 0,
      candidate: this.#head.next,
      placed: null,
    });
  }

  #leave(): void {
    this.#frames.pop();
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    const call = must(frame.placed, "a frame below another has placed a call");
    putBack(call);
    this.#countUnplaced(call.offset, 1);
    frame.placed = null;
  }

  #countUnplaced(offset: number, change: 1 | -1): void {
    const rank = this.#ranks[offset] ?? -1;
    if (rank >= 0) this.#unplacedOfRank[rank] = (this.#unplacedOfRank[rank] ?? 0) + change;
  }

  /** Whether no lower rank has an operation left. Those below the one below were finished before it. */
  #isItsTurn(offset: number): boolean {
    const rank = this.#ranks[offset] ?? -1;
    return rank <= 0 || this.#unplacedOfRank[rank - 1] === 0;
  }

  /** Places a known operation, unless its output contradicts the state or the place was seen before. */
  #try(frame: Frame<State, Input, Output>, call: Event<Input, Output>): void {
    this.#steps++;
    if (!this.#isItsTurn(call.offset)) return;
    const from = must(frame.reached[frame.at], "a frame is at a state");
    const { input, output } = call.operation;
    const state = this.#model.step(from.state, input, output);
    if (state === null) return;
    const key = this.#model.stateKey(state);
    from.isSettled = key === from.key && this.#isRead(call.operation);
    takeOut(call);
    if (this.#head.next !== null && this.#wasEntered(key, from.used)) {
      putBack(call);
      return;
    }
    frame.placed = call;
    this.#countUnplaced(call.offset, -1);
    this.#enter(state, key, from.used);
  }

  /** Moves on to the next state that unknown operations lead to; false if there is none. */
  #nextReached(frame: Frame<State, Input, Output>): boolean {
    while (frame.at + 1 === frame.reached.length) {
      const from = frame.reached[frame.extended];
      if (from === undefined || this.#steps > this.#stepsMax) return false;
      frame.extended++;
      if (!from.isSettled) this.#extend(frame, from);
    }
    frame.at++;
    frame.candidate = this.#head.next;
    return true;
  }

  /** Adds what one more unknown operation of each kind makes of a state. */
  #extend(frame: Frame<State, Input, Output>, from: Reached<State>): void {
    const deadline = this.#firstReturn().time;
    for (const [kind, { input, offsets, callTimes }] of this.#kinds.entries()) {
      const next = from.used[kind] ?? 0;
      const callTime = callTimes[next];
      if (callTime === undefined || callTime > deadline) continue;
      this.#steps++;
      const state = this.#model.step(from.state, input, null);
      if (state === null) continue;
      const used = from.used.slice();
      used[kind] = next + 1;
      const key = this.#model.stateKey(state);
      const offset = offsets[next] ?? -1;
      const reached = { state, key, used, offset, after: from, isSettled: false };
      if (!frame.reached.some((other) => this.#covers(other, reached))) frame.reached.push(reached);
    }
  }

  #isRead({ input, output }: Operation<Input, Output>): boolean {
    return output !== null && (this.#model.isRead?.(input, output) ?? false);
  }

  #covers(one: Reached<State>, other: Reached<State>): boolean {
    const isMore = this.#model.covers?.(one.state, other.state) ?? one.key === other.key;
    return isMore && isNoMore(one.used, other.used);
  }

  #firstReturn(): Event<Input, Output> {
    let event = this.#head.next;
    while (event !== null && event.isCall) event = event.next;
    return must(event, "a call in the list is followed by its return");
  }

  #wasEntered(stateKey: string, used: Uint32Array): boolean {
    const key = this.#unplaced() + stateKey;
    const entered = this.#entered.get(key);
    if (entered === undefined) {
      this.#entered.set(key, [used]);
      return false;
    }
    if (entered.some((other) => isNoMore(other, used))) return true;
    entered.push(used);
    return false;
  }

  /** The calls before the first return, as their number and two characters each. */
  #unplaced(): string {
    let text = "";
    let count = 0;
    for (let event = this.#head.next; event !== null && event.isCall; event = event.next) {
      text += String.fromCharCode(event.offset >>> 15, event.offset & 0x7fff);
      count++;
    }
    return `${count} ${text}`;
  }

  #sortUnknown(operations: readonly (Operation<Input, Output> | null)[]): void {
    const unknown = [...operations.entries()]
      .flatMap(([offset, one]) => (one?.output === null ? [{ offset, operation: one }] : []))
      .sort((a, b) => a.operation.callTime - b.operation.callTime);
    const byKey = new Map<string, Kind<Input>>();
    for (const { offset, operation } of unknown) {
      const key = this.#model.inputKey?.(operation.input) ?? String(offset);
      let kind = byKey.get(key);
      if (kind === undefined) {
        kind = { input: operation.input, offsets: [], callTimes: [] };
        byKey.set(key, kind);
        this.#kinds.push(kind);
      }
      kind.offsets.push(offset);
      kind.callTimes.push(operation.callTime);
    }
  }
}

/** Numbers ranks from 0 without gaps; null, no rank, becomes -1. */
function withoutGaps(ranks: readonly (number | null)[]): Int32Array {
  const distinct = new Set(ranks.filter((rank) => rank !== null));
  const offsets = new Map(
    [...distinct].sort((a, b) => a - b).map((rank, offset) => [rank, offset]),
  );
  return Int32Array.from(ranks, (rank) => (rank === null ? -1 : (offsets.get(rank) ?? -1)));
}

/** Whether no number of the one is greater than that of the other. */
function isNoMore(one: Uint32Array, other: Uint32Array): boolean {
  for (let kind = 0; kind < one.length; kind++) {
    if ((one[kind] ?? 0) > (other[kind] ?? 0)) return false;
  }
  return true;
}
