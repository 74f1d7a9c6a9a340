/** Lines of one person or pipe: a transaction may take several of them, every other command is one. */

import type { ClientPort } from "../server/client-port.ts";
import { defaultSettings, execute, type ExecuteOptions, type Execution } from "./execute.ts";
import { endOfJson } from "./transaction-line.ts";
import { lineBytesMax } from "./words.ts";

const nothingToSay: Execution = { text: null, exit: false };

export class Session {
  readonly #store: ClientPort;
  readonly #monotonicMs: (() => number) | undefined;
  readonly #settings = defaultSettings();
  /** The lines of a transaction that is not whole yet; null outside of one. */
  #open: string | null = null;

  /** Without a clock no time is shown that a command takes. */
  constructor(store: ClientPort, monotonicMs?: () => number) {
    this.#store = store;
    this.#monotonicMs = monotonicMs;
  }

  /** Whether the next line goes on with a transaction. */
  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Forgets the transaction that is not whole yet; says whether there was one. */
  drop(): boolean {
    const wasOpen = this.isOpen;
    this.#open = null;
    return wasOpen;
  }

  /** An empty line ends a transaction as it is. */
  async execute(line: string, options: ExecuteOptions): Promise<Execution> {
    const isGoingOn = this.#open !== null;
    if (!isGoingOn && !startsTransaction.test(line)) return this.#execute(line, options);
    const text = isGoingOn ? `${this.#open}\n${line}` : line;
    const isEnded = (isGoingOn && line.trim() === "") || isWhole(text);
    if (!isEnded && text.length <= lineBytesMax) {
      this.#open = text;
      return nothingToSay;
    }
    this.#open = null;
    return this.#execute(text, options);
  }

  /** There are no more lines. */
  async end(options: ExecuteOptions): Promise<Execution> {
    const text = this.#open;
    this.#open = null;
    return text === null ? nothingToSay : this.#execute(text, options);
  }

  #execute(text: string, options: ExecuteOptions): Promise<Execution> {
    const clock = this.#monotonicMs === undefined ? {} : { monotonicMs: this.#monotonicMs };
    return execute(this.#store, text, { ...options, ...clock, settings: this.#settings });
  }
}

const startsTransaction = /^\s*txn(?:\s|$)/;

const isWhole = (text: string): boolean => endOfJson(text.trimStart().slice("txn".length)) !== null;
