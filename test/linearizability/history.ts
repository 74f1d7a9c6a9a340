/** What clients asked, what they were told and when: the input of the linearizability checker. */

import { assert, must } from "../../server/raft/assert.ts";

export interface Operation<Input, Output> {
  /** For printing only. */
  readonly client: number;
  /** Keys are checked apart: a history is linearizable if and only if each key's is. */
  readonly key: string;
  readonly input: Input;
  /** null: outcome unknown; the operation may take effect at any time after `callTime`, or never. */
  readonly output: Output | null;
  /** Any monotone unit. A call at the same time as a return counts as concurrent with it. */
  readonly callTime: number;
  /** Infinity where the output is null. */
  readonly returnTime: number;
}

interface Pending<Input, Output> {
  readonly client: number;
  readonly key: string;
  readonly input: Input;
  readonly callTime: number;
  output: Output | null;
  returnTime: number;
  state: "running" | "ended" | "unknown" | "failed";
}

/** Collects a history while clients run. What is still running when it is read counts as unknown. */
export class HistoryRecorder<Input, Output> {
  readonly #pending: Pending<Input, Output>[] = [];

  /** Notes a call, before anything of it leaves the client. The id is for the one call that ends it. */
  begin(client: number, key: string, input: Input, now: number): number {
    this.#pending.push({
      client,
      key,
      input,
      callTime: now,
      output: null,
      returnTime: Infinity,
      state: "running",
    });
    return this.#pending.length - 1;
  }

  /** The answer arrived. A refused condition is an answer too. */
  end(id: number, output: Output, now: number): void {
    const operation = this.#finish(id, "ended");
    assert(now >= operation.callTime, "an operation returns after its call");
    operation.output = output;
    operation.returnTime = now;
  }

  /** Nobody knows whether it happened: a timeout, a broken connection, outcome `unknown`. */
  unknown(id: number): void {
    this.#finish(id, "unknown");
  }

  /** It certainly did not happen (outcome `not_applied`) and leaves the history. */
  failed(id: number): void {
    this.#finish(id, "failed");
  }

  /** In the order of the calls to `begin`. */
  operations(): Operation<Input, Output>[] {
    return this.#pending
      .filter(({ state }) => state !== "failed")
      .map(({ client, key, input, output, callTime, returnTime }) => ({
        client,
        key,
        input,
        output,
        callTime,
        returnTime,
      }));
  }

  #finish(id: number, state: "ended" | "unknown" | "failed"): Pending<Input, Output> {
    const operation = must(this.#pending[id], "an id that begin returned");
    assert(operation.state === "running", "an operation ends once");
    operation.state = state;
    return operation;
  }
}
