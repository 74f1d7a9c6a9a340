/** Counts of durations in a fixed number of buckets, whatever comes: the memory of a measurement. */

/** Every power of two is cut into 2^7 buckets: no answer is off by more than 1/128. */
const partBits = 7;
/** Some eighteen minutes; what takes longer counts as that, its true length only in `maxUs`. */
const longestUs = 2 ** 30 - 1;

/** How wide the bucket of `us` is, as a power of two. */
const shiftOf = (us: number): number => Math.max(0, 31 - Math.clz32(us) - partBits);

const offsetOf = (us: number): number => (shiftOf(us) << partBits) + (us >>> shiftOf(us));

/** The highest duration that falls into the bucket. */
function highestOf(offset: number): number {
  const shift = Math.max(0, (offset >> partBits) - 1);
  const part = offset - (shift << partBits);
  return ((part + 1) << shift) - 1;
}

/** Durations in whole microseconds. */
export class Histogram {
  readonly #counts = new Float64Array(offsetOf(longestUs) + 1);
  #count = 0;
  #sumUs = 0;
  #maxUs = 0;

  record(us: number): void {
    const whole = Math.max(0, Math.round(us));
    const offset = offsetOf(Math.min(longestUs, whole));
    this.#counts[offset] = (this.#counts[offset] ?? 0) + 1;
    this.#count++;
    this.#sumUs += whole;
    if (whole > this.#maxUs) this.#maxUs = whole;
  }

  get count(): number {
    return this.#count;
  }

  /** Exact; 0 where nothing was recorded. */
  get maxUs(): number {
    return this.#maxUs;
  }

  /** 0 where nothing was recorded. */
  get meanUs(): number {
    return this.#count === 0 ? 0 : this.#sumUs / this.#count;
  }

  /**
   * What at least `share` (0 … 1) of the durations did not exceed, too high by at most 1/128; 0 where
   * nothing was recorded.
   */
  quantileUs(share: number): number {
    let left = Math.max(1, Math.ceil(share * this.#count));
    for (let offset = 0; offset < this.#counts.length; offset++) {
      left -= this.#counts[offset] ?? 0;
      if (left <= 0) return Math.min(highestOf(offset), this.#maxUs);
    }
    return this.#maxUs;
  }

  add(other: Histogram): void {
    for (let offset = 0; offset < this.#counts.length; offset++) {
      this.#counts[offset] = (this.#counts[offset] ?? 0) + (other.#counts[offset] ?? 0);
    }
    this.#count += other.#count;
    this.#sumUs += other.#sumUs;
    this.#maxUs = Math.max(this.#maxUs, other.#maxUs);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#sumUs = 0;
    this.#maxUs = 0;
  }
}
