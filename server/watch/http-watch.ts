/**
 * Watching other processes' HTTP ports: over as many connections, to whichever endpoint answers, as it
 * takes. What is given is whole revisions, so that a connection that breaks off loses and repeats nothing.
 */

import type { Failure } from "../client-port.ts";
import { notOurs } from "../http-answers.ts";
import { must } from "../raft/assert.ts";
import { connectTo, isPassing, pause, pauseMs, type OpenedStream } from "./http-stream.ts";
import { eventOfJson } from "./watch-json.ts";
import type { WatchAnswer, WatchBatches, WatchEvent, WatchOptions } from "./watch-port.ts";
import { WholeRevisions } from "./whole-revisions.ts";

/** Rounds in which those that may remember are waited for. */
const forgottenRoundsMax = 20;

type Opened = OpenedStream<WatchEvent>;

export class HttpWatch {
  readonly #endpoints: readonly URL[];
  readonly #options: WatchOptions;
  readonly #given = new AbortController();
  #at = 0;
  readonly #revisions: WholeRevisions;
  /** Of the last round: somebody did not answer who may remember what others do not. */
  #mayRemember = false;

  constructor(endpoints: readonly URL[], options: WatchOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#revisions = new WholeRevisions(options.since);
    const { signal, forMs } = options;
    const giveUp = (): void => this.#given.abort();
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) giveUp();
    if (forMs !== undefined) AbortSignal.timeout(forMs).addEventListener("abort", giveUp);
  }

  /** Beginning with that endpoint. Fails where none of them can be watched now. */
  async open(at: number): Promise<WatchAnswer> {
    this.#at = at % this.#endpoints.length;
    const opened = await this.#connect();
    if ("ok" in opened) return opened;
    return { ok: true, batches: this.#run(opened) };
  }

  async *#run(first: Opened): WatchBatches {
    let { connection, batch } = first;
    try {
      for (;;) {
        const given = this.#revisions.take(batch);
        if (given.length > 0) yield given;
        const next = await connection.batches.next().catch(() => null);
        if (next !== null && next.done !== true) {
          batch = next.value;
          continue;
        }
        connection.end();
        this.#revisions.brokenOff();
        const again = await this.#reconnect();
        if (again === null) return;
        if ("ok" in again) {
          yield [{ type: "over", failure: again }];
          return;
        }
        ({ connection, batch } = again);
      }
    } finally {
      connection.end();
    }
  }

  // ------------------------------------------------------------------ connections

  /** Null where nobody wants to go on. */
  async #reconnect(): Promise<Opened | Failure | null> {
    let forgottenRounds = 0;
    for (;;) {
      if (this.#given.signal.aborted) return null;
      this.#at = (this.#at + 1) % this.#endpoints.length;
      const opened = await this.#connect();
      if (!("ok" in opened)) return opened;
      if (this.#given.signal.aborted) return null;
      const isForgotten = opened.code === "compacted";
      if (isForgotten) forgottenRounds++;
      const mayComeBack = isForgotten
        ? this.#mayRemember && forgottenRounds < forgottenRoundsMax
        : isPassing(opened.code);
      if (!mayComeBack) return opened;
      await pause(pauseMs);
    }
  }

  /**
   * To the first endpoint that answers with a beginning. One that does not remember may be one that has
   * just started: another may know more.
   */
  async #connect(): Promise<Opened | Failure> {
    let failure: Failure = notOurs;
    let forgotten: Failure | null = null;
    for (let tries = 0; tries < this.#endpoints.length; tries++) {
      const endpoint = must(this.#endpoints[this.#at], "it is one of the endpoints");
      const opened = await this.#connectTo(endpoint);
      if (!("ok" in opened)) return opened;
      if (opened.code === "compacted") forgotten = opened;
      else failure = opened;
      if (opened.code !== "compacted" && !isPassing(opened.code)) return opened;
      this.#at = (this.#at + 1) % this.#endpoints.length;
    }
    this.#mayRemember = failure !== notOurs;
    return forgotten ?? failure;
  }

  async #connectTo(endpoint: URL): Promise<Opened | Failure> {
    const signal = this.#given.signal;
    return connectTo(endpoint, { path: this.#path, signal, read: eventOfJson });
  }

  get #path(): string {
    const { key, prefix, start, end, before } = this.#options;
    const parameters = new URLSearchParams();
    const since = this.#revisions.since?.toString();
    const given = { key, prefix, start, end, since };
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined) parameters.set(name, value);
    }
    if (before === true) parameters.set("prev", "true");
    return `/v1/watch?${parameters.toString()}`;
  }
}
