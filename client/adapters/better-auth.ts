/** Better Auth's secondary storage in this store: `betterAuth({ secondaryStorage: secondaryStorage(kv) })`. */

import type { Client } from "../client.ts";

export interface SecondaryStorageOptions {
  /** Of all keys. Default `better-auth/`. */
  readonly prefix?: string;
}

/** As Better Auth's `SecondaryStorage` has it; times are in seconds. */
export interface SecondaryStorage {
  get(key: string): Promise<string | null>;
  /** One entry of the log: of several that ask at once, one gets the value. */
  getAndDelete(key: string): Promise<string | null>;
  /** The time holds from the first increment on, and is not renewed by the others. */
  increment(key: string, ttl: number): Promise<number>;
  set(key: string, value: string, ttl?: number): Promise<void>;
  delete(key: string): Promise<void>;
}

export function secondaryStorage(
  kv: Client,
  { prefix = "better-auth/" }: SecondaryStorageOptions = {},
): SecondaryStorage {
  return {
    get: async (key) => (await kv.get(prefix + key))?.text() ?? null,
    getAndDelete: async (key) => (await kv.getAndDelete(prefix + key))?.text() ?? null,
    increment: async (key, ttl) =>
      Number((await kv.incr(prefix + key, 1, { ttl: ttl * 1_000 })).value),
    async set(key, value, ttl) {
      const lives = ttl !== undefined && ttl > 0 ? { ttl: ttl * 1_000 } : {};
      await kv.put(prefix + key, value, lives);
    },
    async delete(key) {
      await kv.delete(prefix + key);
    },
  };
}
