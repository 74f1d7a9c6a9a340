/** Which keys go with which lease: in memory, which is why they are bounded. */

import { compareKeys } from "./key-range.ts";

/** Keys attached to leases, of all leases together. */
export const leasedKeysMax = 500_000;
/** Keys of one lease: they go in one entry. */
export const leaseKeysMax = 10_000;

/** What commands look at. */
export interface LeasedKeysReader {
  readonly count: number;
  countOf(lease: number): number;
  /** In their order, which is the same on every replica. */
  keysOf(lease: number): readonly string[];
}

export class LeasedKeys implements LeasedKeysReader {
  readonly #leases = new Map<string, number>();
  readonly #keys = new Map<number, Set<string>>();

  get count(): number {
    return this.#leases.size;
  }

  countOf(lease: number): number {
    return this.#keys.get(lease)?.size ?? 0;
  }

  keysOf(lease: number): string[] {
    return [...(this.#keys.get(lease) ?? [])].sort(compareKeys);
  }

  /** Undefined: it is attached to none. */
  set(key: string, lease: number | undefined): void {
    const before = this.#leases.get(key);
    if (before === lease) return;
    if (before !== undefined) this.#detach(key, before);
    if (lease === undefined) return;
    this.#leases.set(key, lease);
    const keys = this.#keys.get(lease);
    if (keys) keys.add(key);
    else this.#keys.set(lease, new Set([key]));
  }

  clear(): void {
    this.#leases.clear();
    this.#keys.clear();
  }

  #detach(key: string, lease: number): void {
    this.#leases.delete(key);
    const keys = this.#keys.get(lease);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(lease);
  }
}
