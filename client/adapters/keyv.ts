/** Keyv's storage in this store: `new Keyv({ store: keyvStore(kv) })`, for Keyv 5. */

import type { Client } from "../client.ts";
import { encodedBy, json } from "../codec.ts";

/** Rows that one entry of the log deletes. */
const clearRowsMax = 10_000;
/** Keys that are asked for at once. */
const keysAtOnceMax = 64;

const anyJson = json<unknown>();
const jsonType = anyJson.contentType;

export interface KeyvStoreOptions {
  /** Of all keys, so that what Keyv clears is its own. Default `keyv/`. */
  readonly prefix?: string;
}

export const keyvStore = (kv: Client, { prefix = "keyv/" }: KeyvStoreOptions = {}): KeyvStore =>
  new KeyvStore(kv, prefix);

/** What goes wrong is a rejection with a `KvError`; Keyv hands it on, or makes it an event. */
export class KeyvStore {
  /** Keyv iterates over dialects that it knows by name, and over no others. */
  readonly opts = { dialect: "etcd", url: "" };
  /** Keyv says which, and puts it before every key. */
  namespace: string | undefined;
  readonly #kv: Client;
  readonly #prefix: string;

  constructor(kv: Client, prefix: string) {
    this.#kv = kv;
    this.#prefix = prefix;
  }

  /** There are no events of its own. */
  on(): this {
    return this;
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    const entry = await this.#kv.get(this.#prefix + key);
    // Keyv's own texts, or what it leaves to us where it is told not to make texts.
    const value = entry?.contentType === jsonType ? entry.json() : entry?.text();
    return value as Value | undefined;
  }

  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    const values: (Value | undefined)[] = [];
    for (let at = 0; at < keys.length; at += keysAtOnceMax) {
      const some = keys.slice(at, at + keysAtOnceMax).map((key) => this.get<Value>(key));
      values.push(...(await Promise.all(some)));
    }
    return values;
  }

  /** `ttl` in milliseconds. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    const lives = ttl === undefined ? {} : { ttl };
    await (typeof value === "string"
      ? this.#kv.put(this.#prefix + key, value, lives)
      : this.#kv.put(this.#prefix + key, encodedBy(anyJson, value), {
          contentType: jsonType,
          ...lives,
        }));
    return true;
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#kv.delete(this.#prefix + key)).deleted;
  }

  /** Whether one of them was there. */
  async deleteMany(keys: string[]): Promise<boolean> {
    let isAny = false;
    for (let at = 0; at < keys.length; at += keysAtOnceMax) {
      const some = keys.slice(at, at + keysAtOnceMax).map((key) => this.delete(key));
      if ((await Promise.all(some)).includes(true)) isAny = true;
    }
    return isAny;
  }

  /** Of its namespace, all that is there when it begins. */
  async clear(): Promise<void> {
    const prefix = this.#prefixOf(this.namespace);
    for (;;) {
      const { deleted } = await this.#kv.deleteRange({ prefix }, { limit: clearRowsMax });
      if (deleted < clearRowsMax) return;
    }
  }

  async *iterator<Value>(namespace?: string): AsyncGenerator<[string, Value | undefined], void> {
    for await (const entry of this.#kv.list({ prefix: this.#prefixOf(namespace) })) {
      const value = entry.contentType === jsonType ? entry.json() : entry.text();
      yield [entry.key.slice(this.#prefix.length), value as Value];
    }
  }

  #prefixOf(namespace: string | undefined): string {
    return namespace === undefined ? this.#prefix : `${this.#prefix}${namespace}:`;
  }
}
