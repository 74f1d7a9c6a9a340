/**
 * Clients of what the product answers with promises, as its HTTP routes ask it: what follows from an event
 * runs to its end before the next one.
 */

import type { Life } from "./process.ts";

export interface PromisedClient {
  start(): void;
  /** No more is asked; what is under way goes on. */
  stop(): void;
  died(life: Life): void;
  readonly isAsking: boolean;
  /** Its node works on what it asked: promises are under way. */
  readonly isUnderWay: boolean;
  readonly description: string;
}

export class PromisedClients {
  #clients: readonly PromisedClient[] = [];
  readonly #failures: Error[] = [];

  add(clients: readonly PromisedClient[]): void {
    this.#clients = [...this.#clients, ...clients];
  }

  /** A promise of the product was broken where nobody above catches it. */
  readonly failed = (error: unknown): void => {
    this.#failures.push(error instanceof Error ? error : new Error(String(error)));
  };

  start(): void {
    for (const client of this.#clients) client.start();
  }

  stop(): void {
    for (const client of this.#clients) client.stop();
  }

  died(life: Life): void {
    for (const client of this.#clients) client.died(life);
  }

  get areDone(): boolean {
    return !this.#clients.some(({ isAsking }) => isAsking);
  }

  get description(): string {
    const waiting = this.#clients.filter(({ isAsking }) => isAsking);
    return waiting.map(({ description }) => description).join("; ");
  }

  get areUnderWay(): boolean {
    return this.#clients.some(({ isUnderWay }) => isUnderWay);
  }

  /** Whatever follows from the event that has just run is done. */
  async settled(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const [failure] = this.#failures;
    if (failure !== undefined) throw failure;
  }
}
