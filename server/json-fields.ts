/** Reads the fields of JSON objects that somebody sent; each mistake is told with the path to it. */

import { durationForm, parseDuration } from "./duration.ts";
import { Buffer } from "node:buffer";
import type { Failure, Result } from "./client-port.ts";
import { badRequest } from "./problem.ts";
import { keyBytesMax, valueBytesMax } from "./state-machine/command.ts";
import { isInteger, parseInteger } from "./state-machine/integer.ts";

/** Thrown inside of `reading` alone. */
class WrongField extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.detail);
    this.failure = failure;
  }
}

/** What `read` returns, or the first mistake that it came upon. */
export function reading<T>(read: () => T): Result<{ readonly value: T }> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (error instanceof WrongField) return error.failure;
    throw error;
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function parseJson(body: Uint8Array): Result<{ readonly value: unknown }> {
  try {
    return { ok: true, value: JSON.parse(decoder.decode(body)) };
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : "it is not UTF-8";
    return badRequest(`the body is not JSON: ${why}`, "body");
  }
}

/** An object's fields. `end` refuses those that nobody asked for. */
export class Fields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #asked = new Set<string>();

  constructor(value: unknown, path: string) {
    this.#path = path;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new WrongField(
        path === ""
          ? badRequest("the body is no object", "body")
          : badRequest(`${path} is no object`, path),
      );
    }
    this.#object = value as Readonly<Record<string, unknown>>;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  /** Undefined where it is missing. */
  get(name: string): unknown {
    this.#asked.add(name);
    return this.has(name) ? this.#object[name] : undefined;
  }

  fail(name: string, detail: string, code: Failure["code"] = "bad_request"): never {
    const field = this.path(name);
    throw new WrongField({ ok: false, code, detail: `\`${field}\` ${detail}`, field });
  }

  path(name: string): string {
    if (name === "") return this.#path;
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  list(name: string, lengthMax: number): unknown[] {
    const value = this.get(name) ?? [];
    if (!Array.isArray(value)) this.fail(name, "is no list");
    if (value.length > lengthMax) {
      this.fail(name, `has ${value.length} parts, the most is ${lengthMax}`, "too_large");
    }
    return value;
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.get(name) ?? otherwise;
    return typeof value === "boolean" ? value : this.fail(name, "is true or false");
  }

  /** A whole number from `min` to `max`; where it is missing, `otherwise`, or a mistake without that. */
  count(name: string, { min = 0, max, otherwise }: CountBounds): number {
    const value = this.get(name) ?? otherwise;
    const isRight = Number.isSafeInteger(value) && (value as number) >= min;
    if (!isRight || (value as number) > max) this.fail(name, `is a number from ${min} to ${max}`);
    return value as number;
  }

  /** Milliseconds; undefined where it is missing. */
  duration(name: string): number | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const isOne = typeof value === "string" || typeof value === "number";
    return (isOne ? parseDuration(String(value)) : null) ?? this.fail(name, durationForm);
  }

  /** A number of 64 bits, as a number or as decimal text. */
  integer(name: string, otherwise?: bigint): bigint {
    const value = this.get(name);
    if (value === undefined && otherwise !== undefined) return otherwise;
    const found =
      typeof value === "string"
        ? parseInteger(value)
        : Number.isSafeInteger(value)
          ? BigInt(value as number)
          : null;
    const detail = "is an integer of 64 bits, beyond 2^53 as a string";
    return found !== null && isInteger(found) ? found : this.fail(name, detail);
  }

  text(name: string): string {
    const value = this.get(name);
    if (typeof value !== "string") return this.fail(name, "is a text");
    return value.isWellFormed() ? value : this.fail(name, "is not valid Unicode");
  }

  /** `name`, or `nameBase64`. */
  bytes(name: string): Uint8Array {
    const inBase64 = `${name}Base64`;
    if (!this.has(inBase64)) return Buffer.from(this.text(name));
    if (this.has(name)) this.fail(inBase64, `and \`${name}\` are the same; give one of them`);
    const text = this.text(inBase64);
    return base64.test(text) ? Buffer.from(text, "base64") : this.fail(inBase64, "is not base64");
  }

  value(name = "value"): Uint8Array {
    const bytes = this.bytes(name);
    if (bytes.byteLength <= valueBytesMax) return bytes;
    return this.fail(name, `is longer than ${valueBytesMax} bytes`, "too_large");
  }

  /** A key; with `mayBeEmpty` a bound or the beginning of some. */
  key(name = "key", mayBeEmpty = false): string {
    const bytes = this.bytes(name);
    if (bytes.byteLength > keyBytesMax) {
      this.fail(name, `is longer than ${keyBytesMax} bytes`, "key_too_long");
    }
    if (bytes.byteLength === 0 && !mayBeEmpty) this.fail(name, "is empty");
    if (bytes.includes(0)) this.fail(name, "contains a NUL byte");
    try {
      return decoder.decode(bytes);
    } catch {
      return this.fail(name, "is not valid UTF-8");
    }
  }

  end(): void {
    for (const name in this.#object) {
      if (!this.#asked.has(name)) this.fail(name, "is not known here");
    }
  }
}

interface CountBounds {
  readonly min?: number;
  readonly max: number;
  readonly otherwise?: number;
}
