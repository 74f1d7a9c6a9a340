/** What happened, as a running hash (equal seeds give equal hashes) and as the last events in words. */

const keptEvents = 400;

interface Event {
  readonly atMs: number;
  readonly kind: string;
  readonly node: number;
  readonly detail: string | number;
}

export class SimFailure extends Error {
  override name = "SimFailure";
}

/** The simulation's `assert`: what it claims is a promise of the product. */
export function claim(condition: boolean, text: () => string): asserts condition {
  if (!condition) throw new SimFailure(text());
}

export class Trace {
  #hash = 0;
  #count = 0;
  readonly #last: Event[] = [];
  readonly #codes = new Map<string, number>();

  /** `detail` is part of the hash; numbers are cheaper than text. */
  note(atMs: number, kind: string, node: number, detail: string | number = 0): void {
    let code = this.#codes.get(kind);
    if (code === undefined) {
      code = this.#codes.size + 1;
      this.#codes.set(kind, code);
    }
    this.#mix(Math.round(atMs * 1_000) | 0);
    this.#mix(code * 16 + node);
    if (typeof detail === "number") this.#mix(detail | 0);
    else for (let i = 0; i < detail.length; i++) this.#mix(detail.charCodeAt(i));
    this.#last[this.#count % keptEvents] = { atMs, kind, node, detail };
    this.#count++;
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  get lastEvents(): string[] {
    const start = Math.max(0, this.#count - keptEvents);
    const lines: string[] = [];
    for (let i = start; i < this.#count; i++) {
      const event = this.#last[i % keptEvents];
      if (!event) continue;
      const { atMs, kind, node, detail } = event;
      lines.push(`${atMs.toFixed(3).padStart(12)} ms  node ${node || "-"}  ${kind} ${detail}`);
    }
    return lines;
  }

  /** One step of Murmur3. */
  #mix(value: number): void {
    let k = Math.imul(value, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    const h = this.#hash ^ Math.imul(k, 0x1b873593);
    this.#hash = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
  }
}

/** How often each thing that a run should reach was reached. */
export class Coverage {
  readonly counts = new Map<string, number>();

  add(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  merge(other: Coverage): void {
    for (const [name, count] of other.counts) {
      this.counts.set(name, (this.counts.get(name) ?? 0) + count);
    }
  }
}
