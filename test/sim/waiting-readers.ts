/**
 * Clients whose reads wait. They ask what a node's HTTP routes ask, which is written with promises: what
 * follows from an event runs to its end before the next one.
 */

import type { LocalReads } from "./local-reads.ts";
import type { Life } from "./process.ts";
import { WaitingChecks } from "./waiting-checks.ts";
import { WaitingReader } from "./waiting-reader.ts";
import type { Registers } from "./workloads.ts";
import type { SimWorld } from "./world.ts";

export class WaitingReaders {
  readonly #readers: readonly WaitingReader[];
  readonly #failures: Error[] = [];

  constructor(world: SimWorld, checks: { registers: Registers; localReads: LocalReads }) {
    const failed = (error: unknown): void => {
      this.#failures.push(error instanceof Error ? error : new Error(String(error)));
    };
    const judging = new WaitingChecks(world, checks.localReads);
    const { registers } = checks;
    const count = world.changes === null ? 0 : world.options.waitingReaders;
    this.#readers = Array.from(
      { length: count },
      (_, i) => new WaitingReader({ world, registers, checks: judging, failed }, i + 1),
    );
  }

  start(): void {
    for (const reader of this.#readers) reader.start();
  }

  /** No more is asked; what is under way goes on. */
  stop(): void {
    for (const reader of this.#readers) reader.stop();
  }

  died(life: Life): void {
    for (const reader of this.#readers) reader.died(life);
  }

  get areDone(): boolean {
    return !this.#readers.some(({ isAsking }) => isAsking);
  }

  get description(): string {
    const waiting = this.#readers.filter(({ isAsking }) => isAsking);
    return waiting.map(({ description }) => description).join("; ");
  }

  /** Promises are under way. */
  get areUnderWay(): boolean {
    return this.#readers.some(({ isUnderWay }) => isUnderWay);
  }

  /** Whatever follows from the event that has just run is done. */
  async settled(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const [failure] = this.#failures;
    if (failure !== undefined) throw failure;
  }
}
