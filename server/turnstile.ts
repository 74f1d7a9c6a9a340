/** Lets a few through at a time; the others wait in line, and too many are turned away. */

export class Turnstile {
  readonly #insideMax: number;
  readonly #waitingMax: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(options: { insideMax: number; waitingMax: number }) {
    this.#insideMax = options.insideMax;
    this.#waitingMax = options.waitingMax;
  }

  /** False where too many wait already; otherwise it is one's turn, and `leave` has to follow. */
  async enter(): Promise<boolean> {
    if (this.#inside < this.#insideMax) {
      this.#inside++;
      return true;
    }
    if (this.#waiting.length >= this.#waitingMax) return false;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return true;
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#inside--;
  }
}
