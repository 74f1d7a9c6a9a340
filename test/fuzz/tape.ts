/**
 * Turns bytes into decisions. A fuzz target draws everything it does from a tape, so every input is a
 * string of bytes: it can be kept, replayed and made smaller by cutting pieces out of it.
 */

/** Numbers at which formats and programs break. */
const edges: readonly number[] = [
  0,
  1,
  2,
  7,
  8,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 48 - 1,
  2 ** 48,
  2 ** 53 - 1,
];

/** A tape that has ended gives zeros: with fewer bytes simply less happens. */
export class Tape {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.byteLength;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** From 0 to below `limit`, which is at most 2^24. */
  below(limit: number): number {
    if (limit <= 1) return 0;
    if (limit <= 0x100) return this.byte() % limit;
    return (this.byte() * 0x1_00_00 + this.byte() * 0x1_00 + this.byte()) % limit;
  }

  /** True once in `times`; never on a tape that has ended. */
  once(times: number): boolean {
    return this.below(times) === 1;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  /** A number that formats and programs tend to get wrong, or one close to it. */
  edge(): number {
    const edge = this.pick(edges);
    const near = this.byte();
    if (near < 0xc0) return edge;
    return Math.max(0, Math.min(2 ** 53 - 1, edge + near - 0xe0));
  }

  /** A seed for what need not be made smaller, such as which sectors a power loss takes. */
  seed(): number {
    return this.below(1 << 24);
  }

  bytes(count: number): Uint8Array {
    const taken = new Uint8Array(count);
    for (let i = 0; i < count; i++) taken[i] = this.byte();
    return taken;
  }

  rest(): Uint8Array {
    const taken = this.#bytes.slice(this.#at);
    this.#at = this.#bytes.byteLength;
    return taken;
  }
}
