/** What `h2load` is told to ask a node over HTTP/1.1, with the files that it reads its keys and values from. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyOf, type Part } from "./subject.ts";

/** Fisher-Yates: rows are not to be asked for in the order they lie in. */
function shuffled(first: number, end: number): number[] {
  const numbers = Array.from({ length: end - first }, (_, i) => first + i);
  for (let i = numbers.length - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1));
    [numbers[i], numbers[other]] = [numbers[other] ?? 0, numbers[i] ?? 0];
  }
  return numbers;
}

export class HttpWords {
  /** For what `h2load` reads. */
  readonly #scratch: string;
  readonly #written = new Set<string>();

  constructor(scratch: string) {
    this.#scratch = scratch;
  }

  of(part: Part): string[] {
    const keys = ["--h1", "-B", `http://127.0.0.1:${part.port}`, "-i", this.#keys(part)];
    if (part.operation === "get") return keys;
    return [...keys, "-d", this.#value(part), "-H", ":method: PUT"];
  }

  /** Each process has keys of its own: the clients of one go through its list in step. */
  #keys({ keyCount, part, parts }: Part): string {
    const first = Math.floor((keyCount * part) / parts);
    const end = Math.floor((keyCount * (part + 1)) / parts);
    return this.#once(`keys-${first}-${end}`, () =>
      shuffled(first, end)
        .map((number) => `http://127.0.0.1/v1/kv/${keyOf(number)}\n`)
        .join(""),
    );
  }

  #value({ valueBytes }: Part): string {
    return this.#once(`value-${valueBytes}`, () => "x".repeat(valueBytes));
  }

  #once(name: string, make: () => string): string {
    const path = join(this.#scratch, name);
    if (!this.#written.has(name)) writeFileSync(path, make());
    this.#written.add(name);
    return path;
  }
}
