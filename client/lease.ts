/** Leases that keep themselves alive, and tell when they could not. */

import { KvError } from "./error.ts";
import { afterQuietly, pause } from "./time.ts";

/** Renewals in the time that a lease has. */
const renewalsPerTtl = 3;
/** Between two tries. */
const againMs = 200;

export interface LeaseOptions {
  readonly id: number;
  readonly ttlMs: number;
  /** When it was surely not older: its time is counted from there, by this machine's clock. */
  readonly fromMs: number;
  /** Rejects with `not_found` where it is gone. */
  readonly renew: (signal: AbortSignal) => Promise<unknown>;
  /** Ends it. */
  readonly end: () => Promise<unknown>;
  /** No more calls are made: what is held then is lost. */
  readonly closing: AbortSignal;
}

/** A time that keys share, kept going until it is ended. No process stays alive for it. */
export class Lease {
  /** For `put` and transactions. */
  readonly id: number;
  readonly ttlMs: number;
  /** Aborts when the lease is lost, at the latest when its time is over without word of the servers. */
  readonly signal: AbortSignal;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  readonly #options: LeaseOptions;
  #sureUntilMs: number;
  #cancel: () => void = () => {};
  #cancelEnd: () => void = () => {};

  constructor(options: LeaseOptions) {
    const { id, ttlMs, fromMs, closing } = options;
    this.id = id;
    this.ttlMs = ttlMs;
    this.signal = this.#lost.signal;
    this.#options = options;
    this.#sureUntilMs = fromMs + ttlMs;
    if (closing.aborted) this.#lose("the client was closed");
    closing.addEventListener("abort", this.#close);
    this.#goOn();
  }

  get isLost(): boolean {
    return this.#lost.signal.aborted;
  }

  /** Ends it, and with it what is attached. Ending one that is gone already is no error. */
  async end(): Promise<void> {
    this.#stop();
    try {
      await this.#options.end();
    } catch (error) {
      if (!KvError.is(error, "not_found") && !KvError.is(error, "conflict")) throw error;
    }
  }

  /** As `end`, but where no server is reached it ends when its time is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch((error: unknown) => {
      if (!KvError.is(error)) throw error;
    });
  }

  readonly #close = (): void => this.#lose("the client was closed");

  #goOn(): void {
    if (this.#ended.signal.aborted || this.isLost) return;
    this.#cancelEnd();
    const leftMs = Math.max(0, this.#sureUntilMs - performance.now());
    this.#cancelEnd = afterQuietly(leftMs, () => {
      this.#lose("no server has renewed it in time");
    });
    this.#cancel = afterQuietly(leftMs / renewalsPerTtl, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { renew } = this.#options;
    while (!this.#ended.signal.aborted && !this.isLost) {
      const beganMs = performance.now();
      try {
        await renew(this.#ended.signal);
        this.#sureUntilMs = beganMs + this.ttlMs;
        this.#goOn();
        return;
      } catch (error) {
        if (KvError.is(error, "not_found")) this.#lose("it has expired or was revoked");
        await pause(againMs, this.#ended.signal);
      }
    }
  }

  #lose(why: string): void {
    if (this.#ended.signal.aborted) return;
    this.#stop();
    this.#lost.abort(new KvError("not_found", `the lease ${this.id} is lost: ${why}`));
  }

  #stop(): void {
    this.#ended.abort();
    this.#cancel();
    this.#cancelEnd();
    this.#options.closing.removeEventListener("abort", this.#close);
  }
}
