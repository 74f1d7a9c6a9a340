/** Values of one type: how they become bytes, and a part of the store that holds no others. */

import { bytesOf, strictTextOf } from "./bytes.ts";
import type { Client, DeleteOptions, GetOptions, ListOptions, PutOptions } from "./client.ts";
import type { Entry } from "./entry.ts";
import type { Change, WatchSelection } from "./watch.ts";

export interface Codec<T> {
  readonly contentType: string;
  encode(value: T): Uint8Array;
  /** Throws where `bytes` are no such value. */
  decode(bytes: Uint8Array): T;
}

export const bytes: Codec<Uint8Array> = {
  contentType: "application/octet-stream",
  encode: (value) => value,
  decode: (value) => value,
};

export const text: Codec<string> = {
  contentType: "text/plain; charset=utf-8",
  encode: bytesOf,
  decode: strictTextOf,
};

/** That what comes back is a `T` is the caller's word; `check` makes sure of it, and may throw. */
export function json<T>(check: (value: unknown) => T = (value) => value as T): Codec<T> {
  return {
    contentType: "application/json",
    encode: (value) => bytesOf(JSON.stringify(value)),
    decode: (value) => check(JSON.parse(strictTextOf(value))),
  };
}

export interface TypedEntry<T> {
  /** Without the prefix. */
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

export interface TypedChange<T> {
  readonly type: Change["type"];
  readonly key: string;
  readonly value: T | undefined;
  readonly revision: number;
}

/** The keys under one prefix, with values of one type. */
export class TypedStore<T> {
  readonly #client: Client;
  readonly #codec: Codec<T>;
  readonly #prefix: string;

  constructor(client: Client, codec: Codec<T>, prefix: string) {
    this.#client = client;
    this.#codec = codec;
    this.#prefix = prefix;
  }

  put(key: string, value: T, options: PutOptions = {}): Promise<{ readonly revision: number }> {
    const { contentType } = this.#codec;
    const encoded = this.#codec.encode(value);
    return this.#client.put(this.#prefix + key, encoded, { contentType, ...options });
  }

  async get(key: string, options?: GetOptions): Promise<TypedEntry<T> | undefined> {
    const entry = await this.#client.get(this.#prefix + key, options);
    return entry === undefined ? undefined : this.#typed(entry);
  }

  delete(key: string, options?: DeleteOptions): ReturnType<Client["delete"]> {
    return this.#client.delete(this.#prefix + key, options);
  }

  async *list(options: Omit<ListOptions, "prefix"> = {}): AsyncGenerator<TypedEntry<T>, void> {
    const { start, end } = options;
    const within = {
      ...options,
      prefix: this.#prefix,
      start: start === undefined ? undefined : this.#prefix + start,
      end: end === undefined ? undefined : this.#prefix + end,
    };
    for await (const entry of this.#client.list(within)) yield this.#typed(entry);
  }

  async *watch(
    options: { readonly since?: number } = {},
    more: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<TypedChange<T>, void> {
    const selection: WatchSelection = { ...options, prefix: this.#prefix };
    for await (const { type, key, value, revision } of this.#client.watch(selection, more)) {
      const decoded = value === undefined ? undefined : this.#codec.decode(value);
      yield { type, key: key.slice(this.#prefix.length), value: decoded, revision };
    }
  }

  #typed({ key, value, revision }: Entry): TypedEntry<T> {
    return { key: key.slice(this.#prefix.length), value: this.#codec.decode(value), revision };
  }
}
