/** Who believed to hold which lock, and when; and what was written under it. */

import { claim } from "./trace.ts";

export interface Holding {
  readonly queue: string;
  readonly token: number;
  readonly fromMs: number;
  /** Until then its client is sure of it. */
  untilMs: number;
}

interface Written {
  readonly token: number;
  readonly revision: number;
}

export class Holdings {
  readonly #holdings = new Map<string, Holding[]>();
  /** By revision. */
  readonly #written = new Map<string, Written[]>();
  readonly #comparesTimes: boolean;

  constructor(comparesTimes: boolean) {
    this.#comparesTimes = comparesTimes;
  }

  begin(
    {
      queue,
      token,
      sureUntilMs,
    }: { readonly queue: string; readonly token: number; readonly sureUntilMs: number },
    nowMs: number,
  ): Holding {
    const holding = { queue, token, fromMs: nowMs, untilMs: sureUntilMs };
    const all = this.#holdings.get(queue) ?? [];
    for (const other of all) claim(other.token !== token, () => `${queue}: ${token} comes twice`);
    this.#holdings.set(queue, [...all, holding]);
    this.#check(holding);
    return holding;
  }

  /** One that is over, or was released, stays so. */
  extend(holding: Holding, untilMs: number): void {
    if (untilMs <= holding.untilMs) return;
    holding.untilMs = untilMs;
    this.#check(holding);
  }

  release(holding: Holding, nowMs: number): void {
    holding.untilMs = Math.min(holding.untilMs, nowMs);
  }

  /** In the order of the revisions the tokens never go back. */
  wrote(queue: string, write: Written): void {
    const all = this.#written.get(queue) ?? [];
    const before = all.findLast(({ revision }) => revision < write.revision);
    const after = all.find(({ revision }) => revision > write.revision);
    const isInOrder =
      (before?.token ?? 0) <= write.token && write.token <= (after?.token ?? Infinity);
    claim(isInOrder, () => `${queue}: ${write.token} wrote between others: ${JSON.stringify(all)}`);
    all.push(write);
    this.#written.set(
      queue,
      all.sort((a, b) => a.revision - b.revision),
    );
  }

  #check(holding: Holding): void {
    if (!this.#comparesTimes) return;
    const { queue, token, fromMs, untilMs } = holding;
    for (const other of this.#holdings.get(queue) ?? []) {
      if (other === holding) continue;
      const isApart = other.untilMs <= fromMs || untilMs <= other.fromMs;
      claim(isApart, () => `${queue} is held by ${other.token} and ${token} at a time`);
    }
  }
}
