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
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";

/** What a search found. Numbers are offsets into the operations it was given. */
export type Finding =
  | { readonly kind: "found" }
  | {
      readonly kind: "none";
      /** The longest order that explains its outputs, where it was asked for, and the state it leads to. */
      readonly order: readonly number[];
      readonly state: string;
    }
  | { readonly kind: "undecided" };

export interface SearchOptions {
  /** The most steps of the model to take. */
  readonly stepsMax: number;
  /** Whether to note the longest order, which takes time. */
  readonly isTraced: boolean;
}

/** What an event hangs on: another event, or the head of the list. */
interface Link<Input, Output> {
  next: Event<Input, Output> | null;
}

/** A call or a return, in the list while its operation is not placed. */
interface Event<Input, Output> extends Link<Input, Output> {
  readonly offset: number;
  readonly operation: Operation<Input, Output>;
  readonly isCall: boolean;
  readonly time: number;
  /** Of a call: its return. */
  readonly partner: Event<Input, Output> | null;
  previous: Link<Input, Output>;
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
  readonly #options: SearchOptions;
  readonly #head: Link<Input, Output>;
  readonly #kinds: Kind<Input>[] = [];
  readonly #frames: Frame<State, Input, Output>[] = [];
  /** Placed operations and state, as text: the least used of each kind with which that was entered. */
  readonly #entered = new Map<string, Uint32Array[]>();
  #steps = 0;
  #longest: readonly number[] = [];
  #longestKnown = 0;
  #longestState: string;

  constructor(
    model: Model<State, Input, Output>,
    operations: readonly Operation<Input, Output>[],
    options: SearchOptions,
  ) {
    this.#model = model;
    this.#options = options;
    this.#longestState = model.stateKey(model.initial());
    const resolved = model.resolve?.(operations) ?? operations;
    assert(resolved.length === operations.length, "resolving keeps the number of operations");
    this.#head = eventList(resolved);
    this.#sortUnknown(resolved);
  }

  run(): Finding {
    if (this.#head.next === null) return { kind: "found" };
    this.#enter(this.#model.initial(), new Uint32Array(this.#kinds.length));
    for (;;) {
      const frame = this.#frames.at(-1);
      if (frame === undefined) {
        return { kind: "none", order: this.#longest, state: this.#longestState };
      }
      if (this.#steps > this.#options.stepsMax) return { kind: "undecided" };
      const call = frame.candidate;
      if (call !== null && call.isCall) {
        frame.candidate = call.next;
        this.#try(frame, call);
        if (this.#head.next === null) return { kind: "found" };
      } else if (!this.#nextReached(frame)) {
        this.#leave();
      }
    }
  }

  #enter(state: State, used: Uint32Array): void {
    const key = this.#model.stateKey(state);
    this.#frames.push({
      reached: [{ state, key, used, offset: -1, after: null }],
      at: 0,
      extended: 0,
      candidate: this.#head.next,
      placed: null,
    });
  }

  #leave(): void {
    if (this.#options.isTraced) this.#noteOrder();
    this.#frames.pop();
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    putBack(must(frame.placed, "a frame below another has placed a call"));
    frame.placed = null;
  }

  /** Places a known operation, unless its output contradicts the state or the place was seen before. */
  #try(frame: Frame<State, Input, Output>, call: Event<Input, Output>): void {
    this.#steps++;
    const from = must(frame.reached[frame.at], "a frame is at a state");
    const { input, output } = call.operation;
    const state = this.#model.step(from.state, input, output);
    if (state === null) return;
    takeOut(call);
    if (this.#head.next !== null && this.#wasEntered(state, from.used)) {
      putBack(call);
      return;
    }
    frame.placed = call;
    this.#enter(state, from.used);
  }

  /** Moves on to the next state that unknown operations lead to; false if there is none. */
  #nextReached(frame: Frame<State, Input, Output>): boolean {
    while (frame.at + 1 === frame.reached.length) {
      const from = frame.reached[frame.extended];
      if (from === undefined || this.#steps > this.#options.stepsMax) return false;
      frame.extended++;
      this.#extend(frame, from);
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
      if (frame.reached.some((other) => other.key === key && isNoMore(other.used, used))) continue;
      frame.reached.push({ state, key, used, offset: offsets[next] ?? -1, after: from });
    }
  }

  #firstReturn(): Event<Input, Output> {
    let event = this.#head.next;
    while (event !== null && event.isCall) event = event.next;
    return must(event, "a call in the list is followed by its return");
  }

  #wasEntered(state: State, used: Uint32Array): boolean {
    const key = this.#unplaced() + this.#model.stateKey(state);
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

  /** Keeps the present order if it places more known operations than any before. */
  #noteOrder(): void {
    const known = this.#frames.length - 1;
    if (known <= this.#longestKnown) return;
    const order: number[] = [];
    for (const { reached, at, placed } of this.#frames) {
      if (placed === null) break;
      const unknown: number[] = [];
      let from = reached[at] ?? null;
      for (; from !== null && from.after !== null; from = from.after) unknown.push(from.offset);
      order.push(...unknown.toReversed(), placed.offset);
    }
    this.#longest = order;
    this.#longestKnown = known;
    this.#longestState = must(this.#frames[known]?.reached[0], "a frame is at a state").key;
  }
}

/** Calls and returns of what is known, in order of time. */
function eventList<Input, Output>(
  operations: readonly (Operation<Input, Output> | null)[],
): Link<Input, Output> {
  const head: Link<Input, Output> = { next: null };
  const events: Event<Input, Output>[] = [];
  for (const [offset, operation] of operations.entries()) {
    if (operation === null || operation.output === null) continue;
    const { callTime, returnTime } = operation;
    assert(
      callTime <= returnTime && Number.isFinite(returnTime),
      "an operation with an output has returned, after its call",
    );
    const common = { offset, operation, previous: head, next: null };
    const end = { ...common, isCall: false, time: returnTime, partner: null };
    events.push({ ...common, isCall: true, time: callTime, partner: end }, end);
  }
  events.sort((a, b) => a.time - b.time || Number(b.isCall) - Number(a.isCall));
  let last = head;
  for (const event of events) {
    link(last, event);
    last = event;
  }
  return head;
}

function link<Input, Output>(
  before: Link<Input, Output>,
  event: Event<Input, Output> | null,
): void {
  before.next = event;
  if (event !== null) event.previous = before;
}

/** Takes a call and its return out of the list. They keep their own links for the way back. */
function takeOut<Input, Output>(call: Event<Input, Output>): void {
  const end = must(call.partner, "a call has a return");
  link(call.previous, call.next);
  link(end.previous, end.next);
}

/** Undoes the last `takeOut` that is not undone. */
function putBack<Input, Output>(call: Event<Input, Output>): void {
  const end = must(call.partner, "a call has a return");
  end.previous.next = end;
  if (end.next !== null) end.next.previous = end;
  call.previous.next = call;
  if (call.next !== null) call.next.previous = call;
}

/** Whether no number of the one is greater than that of the other. */
function isNoMore(one: Uint32Array, other: Uint32Array): boolean {
  for (let kind = 0; kind < one.length; kind++) {
    if ((one[kind] ?? 0) > (other[kind] ?? 0)) return false;
  }
  return true;
}
