/** Values of one type: how they become bytes, and a part of the store that holds no others. */

import { bytesOf, strictTextOf } from "./bytes.ts";
import type {
  Client,
  DeleteOptions,
  GetOptions,
  ListOptions,
  PutOptions,
  WaitOptions,
} from "./client.ts";
import type { Entry } from "./entry.ts";
import { badRequest, decoded } from "./error.ts";
import type { Change, WatchSelection } from "./watch.ts";

export interface Codec<T> {
  readonly contentType: string;
  /** May throw where `value` is none that it can write: `put` rejects with `bad_request` then. */
  encode(value: T): Uint8Array;
  /** Throws where `bytes` are no such value: what reads them rejects with `undecodable` then. */
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
    encode(value) {
      const written = JSON.stringify(value) as string | undefined;
      if (written === undefined) throw new TypeError("there is no JSON for this value");
      return bytesOf(written);
    },
    decode: (value) => check(JSON.parse(strictTextOf(value))),
  };
}

/** Of a write: `bad_request` where there are no bytes for it. */
export function encodedBy<T>(codec: Codec<T>, value: T): Uint8Array {
  try {
    return codec.encode(value);
  } catch (cause) {
    const detail = "the codec makes no bytes of this value";
    throw badRequest(detail, "value", { outcome: "not_applied", cause });
  }
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

  async put(
    key: string,
    value: T,
    options: PutOptions = {},
  ): Promise<{ readonly revision: number }> {
    const { contentType } = this.#codec;
    const encoded = encodedBy(this.#codec, value);
    return this.#client.put(this.#prefix + key, encoded, { contentType, ...options });
  }

  /** As the client's, with the value decoded. */
  get(key: string, options: WaitOptions): Promise<TypedEntry<T> | undefined | null>;
  get(key: string, options?: GetOptions): Promise<TypedEntry<T> | undefined>;
  async get(
    key: string,
    options: GetOptions | WaitOptions = {},
  ): Promise<TypedEntry<T> | undefined | null> {
    const entry: Entry | undefined | null = await this.#client.get(this.#prefix + key, options);
    return entry === undefined || entry === null ? entry : this.#typed(entry);
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
      const read = value === undefined ? undefined : this.#decoded(key, value);
      yield { type, key: key.slice(this.#prefix.length), value: read, revision };
    }
  }

  #typed({ key, value, revision }: Entry): TypedEntry<T> {
    return { key: key.slice(this.#prefix.length), value: this.#decoded(key, value), revision };
  }

  #decoded(key: string, value: Uint8Array): T {
    return decoded(key, () => this.#codec.decode(value));
  }
}
