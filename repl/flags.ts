/** The flags of the commands: at the prompt behind a command's words, in a shell anywhere. */

import type { DeleteRangeOptions, ListOptions, Match } from "../server/client-port.ts";
import type { ReadLevel, ReadOptions, Selection, WriteOptions } from "../server/client-port.ts";
import { parseDuration, waitMsMax } from "../server/duration.ts";
import type { Wait } from "../server/long-poll.ts";
import type { Entering } from "../server/session-port.ts";
import { keyBytesMax, requestKeyBytesMax } from "../server/state-machine/command.ts";
import { parseInteger, revisionOfText } from "../server/state-machine/integer.ts";
import { compareKeys } from "../server/state-machine/key-range.ts";
import type { WatchOptions } from "../server/watch/watch-port.ts";
import { renderKey, shorten } from "./render.ts";

export interface Flag {
  /** What its value is; null where it has none. */
  readonly value: string | null;
  readonly meaning: string;
}

/** By name, without dashes. */
export type Flags = Readonly<Record<string, Flag>>;

/** What was given, by name; true for a flag without a value. */
export type GivenFlags = ReadonlyMap<string, string | true>;

const conditions: Flags = {
  "if-match": { value: "REVISION", meaning: "Only if the row has that revision (*: any)" },
  "if-none-match": { value: "REVISION", meaning: "Only if not (*: only if there is no row)" },
};
const level: Flag = { value: "LEVEL", meaning: "linearizable, lease or local" };
const reading: Flags = {
  level,
  "min-revision": { value: "REVISION", meaning: "From a state that has applied it" },
  "max-stale": { value: "TIME", meaning: "From a node that was current so shortly ago" },
};
const get: Flags = {
  wait: { value: "TIME", meaning: "Until it changes, so long at the most, such as 30s" },
  after: { value: "REVISION", meaning: "With --wait: changed behind it (else: from now on)" },
  ...reading,
};
const bounds: Flags = {
  start: { value: "KEY", meaning: "From this key on" },
  end: { value: "KEY", meaning: "Keys before this one" },
};

const once: Flags = {
  "idempotency-key": { value: "KEY", meaning: "Do it once under this key, however often" },
};
const put: Flags = {
  ttl: { value: "TIME", meaning: "The row goes by itself after it, such as 30s" },
  lease: { value: "ID", meaning: "The row goes with that lease" },
  ...conditions,
  "content-type": { value: "TYPE", meaning: "What the value is, as HTTP says it" },
  ...once,
};
const list: Flags = {
  ...bounds,
  limit: { value: "COUNT", meaning: "So many rows at the most" },
  after: { value: "KEY", meaning: "Behind this key: goes on with a listing" },
  reverse: { value: null, meaning: "From the last key down" },
  "keys-only": { value: null, meaning: "Without the values" },
  delimiter: { value: "TEXT", meaning: "What goes on behind it is one of the prefixes" },
  ...reading,
};
const incr: Flags = {
  min: { value: "NUMBER", meaning: "Refused where the result would be less" },
  max: { value: "NUMBER", meaning: "Refused where the result would be more" },
  ttl: { value: "TIME", meaning: "The row goes after it, from when it is made" },
  ...once,
};
const watch: Flags = {
  key: { value: "KEY", meaning: "Of this key alone" },
  ...bounds,
  since: { value: "REVISION", meaning: "What happened behind it, before all that comes" },
  prev: { value: null, meaning: "With what was there before" },
};

const entering: Flags = {
  ttl: { value: "TIME", meaning: "It is lost so long after its last keepalive (30s)" },
  wait: { value: "TIME", meaning: "How long to wait for one's turn (0: not at all)" },
  lease: { value: "ID", meaning: "With that lease instead of one of its own" },
  ...once,
};

/** By command; the others have none. */
export const commandFlags: Readonly<Record<string, Flags>> = {
  put,
  get,
  del: { ...conditions, ...once },
  list,
  count: { ...bounds, ...reading },
  incr,
  max: once,
  min: once,
  append: once,
  getdel: once,
  touch: { ttl: { value: "TIME", meaning: "As the word behind the key" }, ...once },
  delrange: { ...bounds, limit: { value: "COUNT", meaning: "So many rows at the most" }, ...once },
  watch,
  txn: once,
  lease: once,
  lock: entering,
  election: entering,
};

/** What is wrong with the flag of that name, and what would be right. */
export interface WrongFlag {
  readonly ok: false;
  readonly flag: string;
  readonly detail: string;
  readonly advice: string;
}

class WrongFlagError extends Error {
  readonly wrong: WrongFlag;

  constructor(flag: string, detail: string, advice: string) {
    super(detail);
    this.wrong = { ok: false, flag, detail, advice };
  }
}

/** What `read` makes of the flags, or what is wrong with the first that is. */
export function readFlags<T>(
  given: GivenFlags,
  read: (flags: FlagReader) => T,
): { readonly ok: true; readonly options: T } | WrongFlag {
  try {
    return { ok: true, options: read(new FlagReader(given)) };
  } catch (error) {
    if (error instanceof WrongFlagError) return error.wrong;
    throw error;
  }
}

const anyInteger = "an integer of 64 bits, such as -5";

/** Each method gives an object with what was given, and an empty one where nothing was. */
export class FlagReader {
  readonly #given: GivenFlags;

  constructor(given: GivenFlags) {
    this.#given = given;
  }

  write(): WriteOptions {
    const { lease } = this.#lease();
    return {
      ...(lease === undefined ? {} : { lease }),
      ...this.once(),
      ...this.ttl(),
      ...this.#value("if-match", "ifMatch", matchOf, "a revision, such as 12, or *"),
      ...this.#value("if-none-match", "ifNoneMatch", matchOf, "a revision, such as 12, or *"),
      ...this.#value("content-type", "contentType", typeOf, "such as text/plain"),
    };
  }

  once(): { readonly idempotencyKey?: string } {
    const form = `1 to ${requestKeyBytesMax} printable ASCII characters`;
    return this.#value("idempotency-key", "idempotencyKey", requestKeyOf, form);
  }

  ttl(): { readonly ttlMs?: number } {
    return this.#value("ttl", "ttlMs", parseDuration, "a time such as 500ms or 30s");
  }

  /** Of a place in the queue of a lock or an election. */
  entering(): Partial<Pick<Entering, "lease" | "ttlMs" | "waitMs">> {
    const form = `0, or a time up to ${waitMsMax / 60_000}m`;
    return { ...this.#lease(), ...this.ttl(), ...this.#value("wait", "waitMs", waitOf, form) };
  }

  #lease(): { readonly lease?: number } {
    const given = this.#value("lease", "lease", leaseOf, "the number of a lease, such as 7");
    if (given.lease !== undefined && this.#given.has("ttl")) {
      const detail = "--ttl does not go with --lease";
      throw new WrongFlagError("ttl", detail, "the lease has a time of its own");
    }
    return given;
  }

  read(): ReadOptions {
    const maxStale = this.#value("max-stale", "maxStaleMs", parseDuration, "such as 500ms or 30s");
    // A bound on the age alone asks for a read within it, as over HTTP.
    const isBounded = maxStale.maxStaleMs !== undefined && !this.#given.has("level");
    return {
      ...(isBounded ? { level: "local" } : {}),
      ...this.#value("level", "level", levelOf, "linearizable, lease or local"),
      ...this.#value("min-revision", "minRevision", revisionOfText, "a revision, such as 12"),
      ...maxStale,
    };
  }

  /** Undefined where the read is not to wait. */
  wait(): Wait | undefined {
    const form = `a time up to ${waitMsMax / 60_000}m, such as 30s`;
    const { ms } = this.#value("wait", "ms", changeWaitOf, form);
    const { after } = this.#value("after", "after", revisionOfText, "a revision, such as 12");
    if (ms !== undefined) return { ms, after };
    if (after === undefined) return undefined;
    throw new WrongFlagError("after", "--after goes with --wait", "for example: --wait 30s");
  }

  selection(): Selection {
    const { start, end } = { ...this.#key("start"), ...this.#key("end") };
    if (start !== undefined && end !== undefined && compareKeys(start, end) > 0) {
      throw new WrongFlagError("end", "--end comes before --start", "give the smaller key first");
    }
    return {
      ...(start === undefined ? {} : { start }),
      ...(end === undefined ? {} : { end }),
    };
  }

  list(): ListOptions {
    return {
      ...this.selection(),
      ...this.read(),
      ...this.#key("after"),
      ...this.#limit(),
      ...this.#value("delimiter", "delimiter", delimiterOf, "text, such as /"),
      ...(this.#given.has("reverse") ? { reverse: true } : {}),
      ...(this.#given.has("keys-only") ? { keysOnly: true } : {}),
    };
  }

  deleteRange(): DeleteRangeOptions {
    return { ...this.#limit(), ...this.once() };
  }

  increment(): {
    readonly min: bigint | null;
    readonly max: bigint | null;
    readonly ttlMs?: number;
  } {
    const { min = null } = this.#value("min", "min", parseInteger, anyInteger);
    const { max = null } = this.#value("max", "max", parseInteger, anyInteger);
    if (min !== null && max !== null && min > max) {
      throw new WrongFlagError("max", "--max is below --min", "no number lies between them");
    }
    return { min, max, ...this.ttl() };
  }

  watch(): WatchOptions {
    const one = this.#key("key");
    const other = ["start", "end"].find((name) => this.#given.has(name));
    if (one.key !== undefined && other !== undefined) {
      throw new WrongFlagError(other, `--${other} does not go with --key`, "give one of them");
    }
    return {
      ...one,
      ...this.selection(),
      ...this.#value("since", "since", revisionOfText, "a revision, such as 12"),
      ...(this.#given.has("prev") ? { before: true } : {}),
    };
  }

  #limit(): { readonly limit?: number } {
    return this.#value("limit", "limit", limitOf, `a number from 1 to ${limitMax}`);
  }

  #key<Name extends string>(name: Name): { readonly [key in Name]?: string } {
    return this.#value(name, name, keyOf, `1 to ${keyBytesMax} bytes of text`);
  }

  #value<Name extends string, T>(
    flag: string,
    name: Name,
    read: (text: string) => T | null,
    form: string,
  ): { readonly [key in Name]?: T } {
    const text = this.#given.get(flag);
    if (text === undefined) return {};
    const value = read(String(text));
    if (value === null) {
      const shownText = renderKey(shorten(String(text)));
      throw new WrongFlagError(flag, `${shownText} is no value of --${flag}`, `it is ${form}`);
    }
    return { [name]: value } as { [key in Name]?: T };
  }
}

const limitMax = 10_000;

const waitOf = (text: string): number | null => (text === "0" ? 0 : changeWaitOf(text));

function changeWaitOf(text: string): number | null {
  const waitMs = parseDuration(text);
  return waitMs !== null && waitMs <= waitMsMax ? waitMs : null;
}

const leaseOf = (text: string): number | null => revisionOfText(text) || null;

function limitOf(text: string): number | null {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  return limit >= 1 && limit <= limitMax ? limit : null;
}

const requestKeyOf = (text: string): string | null =>
  text.length <= requestKeyBytesMax && /^[ -~]+$/.test(text) ? text : null;

const matchOf = (text: string): Match | null => (text === "*" ? text : revisionOfText(text));

const typeOf = (text: string): string | null => (/^[ -~]{1,255}$/.test(text) ? text : null);

const delimiterOf = (text: string): string | null => (text === "" ? null : text);

function keyOf(text: string): string | null {
  // No text is longer in UTF-16 units than in bytes.
  const isShort = text.length <= keyBytesMax && encoder.encode(text).length <= keyBytesMax;
  return text !== "" && isShort && !text.includes("\0") ? text : null;
}

const encoder = new TextEncoder();

function levelOf(text: string): ReadLevel | null {
  // A lease promises less than a linearizable read, which answers for it.
  if (text === "lease") return "linearizable";
  return text === "linearizable" || text === "local" ? text : null;
}
