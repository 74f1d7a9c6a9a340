/** Calls and returns in order of time, from which operations can be taken out and put back. */

import { assert, must } from "../../server/raft/assert.ts";
import type { Operation } from "./history.ts";

/** What an event hangs on: another event, or the head of the list. */
export interface Link<Input, Output> {
  next: Event<Input, Output> | null;
}

/** A call or a return, in the list while its operation is not placed. */
export interface Event<Input, Output> extends Link<Input, Output> {
  readonly offset: number;
  readonly operation: Operation<Input, Output>;
  readonly isCall: boolean;
  readonly time: number;
  /** Of a call: its return. */
  readonly partner: Event<Input, Output> | null;
  previous: Link<Input, Output>;
}

/** Calls and returns of what is known, in order of time. */
export function eventList<Input, Output>(
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
export function takeOut<Input, Output>(call: Event<Input, Output>): void {
  const end = must(call.partner, "a call has a return");
  link(call.previous, call.next);
  link(end.previous, end.next);
}

/** Undoes the last `takeOut` that is not undone. */
export function putBack<Input, Output>(call: Event<Input, Output>): void {
  const end = must(call.partner, "a call has a return");
  end.previous.next = end;
  if (end.next !== null) end.next.previous = end;
  call.previous.next = call;
  if (call.next !== null) call.next.previous = call;
}
