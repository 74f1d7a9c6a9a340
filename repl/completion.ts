/** What Tab does: completes the names of commands, and keys as this node knows them. */

import type { ClientPort } from "../server/client-port.ts";
import { commandFlags } from "./flags.ts";
import { commandNames, type CommandName } from "./help.ts";
import { memberActions } from "./member-words.ts";
import { modes } from "./mode.ts";
import { renderKey, renderKeyStart } from "./render.ts";
import { actionsOf, isSessionName } from "./session-words.ts";
import { cutWords } from "./words.ts";

/** Keys that are asked for; with more than these the common beginning is not known. */
export const completionKeysMax = 200;
/** The keyboard waits for a completion no longer than this. */
export const completionTimeoutMs = 300;

/** The text that replaces the line from `start` to the cursor, and what could have been meant. */
export interface Completion {
  readonly start: number;
  readonly text: string;
  /** As they would be typed; one, if the word is complete. */
  readonly candidates: readonly string[];
  /** There are more than are listed. */
  readonly more: boolean;
}

/** Null where there is nothing to complete. `before` is the line up to the cursor. */
export type Complete = (before: string) => Promise<Completion | null>;

/** What may stand in the place of the first word behind these commands. */
const choices: Readonly<Record<string, readonly string[]>> = {
  help: commandNames,
  member: memberActions,
  lease: actionsOf("lease"),
  lock: actionsOf("lock"),
  election: actionsOf("election"),
  ".mode": modes,
  ".timing": ["on", "off"],
};

const needsKey: ReadonlySet<string> = new Set<CommandName>([
  ...(["put", "get", "del", "incr", "max", "min", "append", "getdel", "touch"] as const),
]);
const takesPrefix: ReadonlySet<string> = new Set<CommandName>([
  ...(["list", "count", "delrange", "watch"] as const),
]);

/** Flags whose value is a key, or one of a few words. */
const keyFlags: readonly string[] = ["--key", "--start", "--end", "--after"];
const levels = ["linearizable", "lease", "local"];

/** `deadline` gives the signal that ends the wait for keys. */
export function completer(
  store: ClientPort,
  deadline: () => AbortSignal = () => AbortSignal.timeout(completionTimeoutMs),
): Complete {
  return async (before) => {
    const partial = partialWord(before);
    if (partial === null) return null;
    const { start, text } = partial;
    const offered = offeredFor(partial);
    if (offered !== "keys") {
      return choose(
        start,
        offered.filter((word) => word.startsWith(text)),
      );
    }
    const found = await keysFrom(store, text, deadline());
    if (found === null) return null;
    return choose(start, found.keys, { typed: text, more: found.more });
  };
}

function offeredFor({ words, text }: PartialWord): readonly string[] | "keys" {
  const [command] = words;
  if (command === undefined) return commandsFrom(text);
  if (words.length === 1) {
    if (Object.hasOwn(choices, command)) return choices[command] ?? [];
    if (needsKey.has(command)) return "keys";
    if (takesPrefix.has(command) && !text.startsWith("--")) return "keys";
  }
  const last = words.at(-1) ?? "";
  if (words.length > 1 && keyFlags.includes(last) && !takesRevision(command, last)) return "keys";
  if (words.length > 1 && last === "--level") return levels;
  if (!text.startsWith("--") || !Object.hasOwn(commandFlags, command)) return [];
  if (words[1] !== undefined && takesNoFlags(command, words[1])) return [];
  const flags = Object.keys(commandFlags[command] ?? {}).map((flag) => `--${flag}`);
  return flags.filter((flag) => !words.includes(flag));
}

/** A listing goes on behind a key, a read that waits behind a revision. */
const takesRevision = (command: string, flag: string): boolean =>
  command === "get" && flag === "--after";

/** Of what is done with leases, locks and elections, the first takes flags. */
const takesNoFlags = (command: string, action: string): boolean =>
  isSessionName(command) && action !== actionsOf(command)[0];

/** `get` is meant by its own letters, and `getdel` by one more. */
function commandsFrom(start: string): readonly string[] {
  const found = commandNames.filter((name) => name.startsWith(start));
  const whole = found.find((name) => start !== "" && found.every((each) => each.startsWith(name)));
  return whole === undefined ? found : [whole];
}

interface PartialWord {
  /** The words before it. */
  readonly words: readonly string[];
  readonly start: number;
  /** What has been typed of it, without quotes and escapes. */
  readonly text: string;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function partialWord(before: string): PartialWord | null {
  let cut = cutWords(before);
  if (!cut.ok && cut.openQuote !== undefined) cut = cutWords(before + cut.openQuote);
  if (!cut.ok) return null;
  try {
    const words = cut.words.map((word) => decoder.decode(word.bytes));
    const last = cut.words.at(-1);
    // The closing quote that was added above lies past the end of the line.
    if (last === undefined || last.end < before.length) {
      return { words, start: before.length, text: "" };
    }
    return { words: words.slice(0, -1), start: last.start, text: words.at(-1) ?? "" };
  } catch {
    return null;
  }
}

async function keysFrom(
  store: ClientPort,
  prefix: string,
  signal: AbortSignal,
): Promise<{ keys: string[]; more: boolean } | null> {
  const options = { prefix, keysOnly: true, level: "local", limit: completionKeysMax } as const;
  const gaveUp = new Promise<null>((resolve) => {
    signal.addEventListener("abort", () => resolve(null), { once: true });
  });
  const answer = await Promise.race([store.list({ ...options, signal }), gaveUp]);
  if (answer === null || !answer.ok) return null;
  return { keys: answer.rows.map((row) => row.key), more: answer.more };
}

function choose(
  start: number,
  found: readonly string[],
  keys: { readonly typed: string; readonly more: boolean } | null = null,
): Completion | null {
  const [first] = found;
  if (first === undefined) return null;
  // Words of ours are typed as they are.
  const shownWhole = keys === null ? (word: string) => word : renderKey;
  const candidates = found.map(shownWhole);
  const more = keys?.more ?? false;
  if (found.length === 1 && !more) {
    return { start, text: `${shownWhole(first)} `, candidates, more };
  }
  const common = keys?.more === true ? keys.typed : commonStart(found);
  return { start, text: keys === null ? common : renderKeyStart(common), candidates, more };
}

function commonStart(texts: readonly string[]): string {
  let common = [...(texts[0] ?? "")];
  for (const text of texts) {
    const characters = [...text];
    let length = 0;
    while (length < common.length && common[length] === characters[length]) length++;
    common = common.slice(0, length);
  }
  return common.join("");
}
