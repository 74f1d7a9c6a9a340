/** The words after `lease`, `lock` and `election`, at the prompt and on the command line. */

import { parseDuration } from "../server/duration.ts";
import { unreachable } from "../server/raft/assert.ts";
import type { Entering, QueueKind, SessionWrite } from "../server/session-port.ts";
import { revisionOfText } from "../server/state-machine/integer.ts";
import { queueNameProblem } from "../server/transaction-json.ts";
import { readFlags } from "./flags.ts";
import type { WordArguments } from "./word-arguments.ts";
import type { Problem } from "./words.ts";

/** What is asked of the store. */
export type SessionQuestion =
  | {
      readonly name: "lease";
      readonly action: "grant";
      readonly ttlMs: number;
      readonly options: SessionWrite;
    }
  | {
      readonly name: "lease";
      readonly action: "keepalive" | "show" | "revoke";
      readonly lease: number;
    }
  | {
      readonly name: QueueKind;
      readonly action: "enter";
      readonly queue: string;
      readonly asked: Entering;
      readonly options: SessionWrite;
    }
  | { readonly name: QueueKind; readonly action: "show"; readonly queue: string }
  | {
      readonly name: QueueKind;
      readonly action: "leave";
      readonly queue: string;
      readonly token: number;
    }
  | {
      readonly name: "election";
      readonly action: "proclaim";
      readonly queue: string;
      readonly token: number;
      readonly value: Uint8Array;
    };

/** `election watch`, which goes on. */
export interface LeadersQuestion {
  readonly name: "leaders";
  readonly election: string;
}

export type ParsedSession =
  | { readonly ok: true; readonly command: SessionQuestion | LeadersQuestion }
  | Problem;

export type SessionName = "lease" | "lock" | "election";

interface Action {
  /** The words behind it. */
  readonly words: string;
  readonly meaning: string;
}

/** The one that takes the flags of the command is the first. */
const sessionActions: Readonly<Record<SessionName, Readonly<Record<string, Action>>>> = {
  lease: {
    grant: { words: "TTL", meaning: "a new one; keys are put with it: put KEY VALUE --lease ID" },
    keepalive: { words: "ID", meaning: "it has all of its time again" },
    show: { words: "ID", meaning: "how much of its time is left" },
    revoke: { words: "ID", meaning: "end it, and delete its keys" },
  },
  lock: {
    acquire: { words: "NAME", meaning: "hold it until its lease ends, or it is released" },
    show: { words: "NAME", meaning: "who holds it, and how many wait" },
    release: { words: "NAME TOKEN", meaning: "give it back" },
  },
  election: {
    campaign: { words: "NAME VALUE", meaning: "lead until the lease ends, and tell all the value" },
    show: { words: "NAME", meaning: "who leads" },
    watch: { words: "NAME", meaning: "who leads, and everyone who comes to, until Ctrl-C" },
    proclaim: { words: "NAME TOKEN VALUE", meaning: "another value" },
    resign: { words: "NAME TOKEN", meaning: "lead no longer" },
  },
};

export const isSessionName = (name: string): name is SessionName =>
  Object.hasOwn(sessionActions, name);

export const actionsOf = (name: SessionName): readonly string[] =>
  Object.keys(sessionActions[name]);

export function actionLines(name: SessionName): string[] {
  return Object.entries(sessionActions[name]).map(
    ([action, { words, meaning }]) => `${`${name} ${action} ${words}`.padEnd(35)}${meaning}`,
  );
}

export function parseSession(words: WordArguments): ParsedSession {
  const name = words.name as SessionName;
  const actions = actionsOf(name);
  const action = words.texts()[0];
  if (action === undefined || !actions.includes(action)) {
    const known = actions.map((each) => `${each} ${sessionActions[name][each]?.words}`).join(", ");
    const detail = action === undefined ? `${name} needs a word` : `${name} has no such action`;
    return words.wrong({ position: 0, detail, advice: `there are: ${known}` });
  }
  const first = actions[0] ?? "";
  const stray = action === first ? undefined : [...words.flags.keys()][0];
  if (stray !== undefined) {
    const detail = `--${stray} does not go with ${name} ${action}`;
    return words.wrongFlag({ ok: false, flag: stray, detail, advice: `but with ${first}` });
  }
  const missing = missingWord(words, name, action);
  if (missing !== null) return missing;
  return name === "lease" ? parseLease(words, action) : parseQueue(words, name, action);
}

/** What is wrong where there are fewer words, or more, than the action needs. */
function missingWord(words: WordArguments, name: SessionName, action: string): Problem | null {
  const needed = sessionActions[name][action]?.words.split(" ") ?? [];
  for (const [at, word] of needed.entries()) {
    if (words.has(at + 1)) continue;
    const advice = `the form is: ${name} ${action} ${needed.join(" ")}`;
    return words.wrong({ position: at + 1, detail: `${action} needs a ${word}`, advice });
  }
  const position = needed.length + 1;
  const extra = words.texts()[position];
  const form = `${name} ${action} ${needed.join(" ")}`;
  if (extra === "--" && (action === "acquire" || action === "campaign")) {
    const advice = `there: kv ${form} -- COMMAND`;
    return words.wrong({ position, detail: "a command is run by a shell", advice });
  }
  if (extra === undefined || extra.startsWith("--")) return words.tooMany(position);
  const detail = `${action} takes ${position === 2 ? "one word" : `${position - 1} words`}`;
  const advice = `put quotes around a word that holds blanks; the form is: ${form}`;
  return words.wrong({ position, detail: `${detail}, this is one too many`, advice });
}

function parseLease(words: WordArguments, action: string): ParsedSession {
  const text = words.texts()[1] ?? "";
  if (action === "grant") {
    const ttlMs = parseDuration(text);
    if (ttlMs === null) {
      const detail = "a lease is granted for a time";
      return words.wrong({ position: 1, detail, advice: "for example: lease grant 30s" });
    }
    const flags = readFlags(words.flags, (reader) => reader.once());
    if (!flags.ok) return words.wrongFlag(flags);
    return { ok: true, command: { name: "lease", action, ttlMs, options: flags.options } };
  }
  const lease = revisionOfText(text);
  if (lease === null || lease === 0) {
    const detail = "the id of a lease is a number";
    return words.wrong({ position: 1, detail, advice: `for example: lease ${action} 7` });
  }
  const known = action as "keepalive" | "show" | "revoke";
  return { ok: true, command: { name: "lease", action: known, lease } };
}

function parseQueue(words: WordArguments, name: QueueKind, action: string): ParsedSession {
  const queue = words.text(1);
  if (typeof queue !== "string") return queue;
  const problem = queueNameProblem(queue);
  if (problem !== null) {
    const advice = "for example: lock acquire deploy";
    return words.wrong({ position: 1, detail: `the name ${problem}`, advice });
  }
  switch (action) {
    case "acquire":
      return parseEntering(words, { name, queue, value: new Uint8Array() });
    case "campaign":
      return parseEntering(words, { name, queue, value: words.bytes(2) ?? new Uint8Array() });
    case "show":
      return { ok: true, command: { name, action, queue } };
    case "watch":
      return { ok: true, command: { name: "leaders", election: queue } };
    default:
  }
  const token = revisionOfText(words.texts()[2] ?? "");
  if (token === null || token === 0) {
    const detail = "a token is a number";
    const advice = `it was given by ${name} ${actionsOf(name)[0]}, and ${name} show says it`;
    return words.wrong({ position: 2, detail, advice });
  }
  if (action !== "proclaim") return { ok: true, command: { name, action: "leave", queue, token } };
  const value = words.bytes(3) ?? new Uint8Array();
  return { ok: true, command: { name: "election", action, queue, token, value } };
}

/** Where nothing is said: long enough for a person who keeps it alive by hand. */
const ttlMsDefault = 30_000;

function parseEntering(
  words: WordArguments,
  { name, queue, value }: { name: QueueKind; queue: string; value: Uint8Array },
): ParsedSession {
  const flags = readFlags(words.flags, (reader) => ({
    asked: { lease: null, ttlMs: ttlMsDefault, waitMs: 0, ...reader.entering(), value },
    options: reader.once(),
  }));
  if (!flags.ok) return words.wrongFlag(flags);
  return { ok: true, command: { name, action: "enter", queue, ...flags.options } };
}

/** Of those that change something: what Ctrl-C leaves open. */
export function sessionDoubt(question: SessionQuestion): string {
  switch (question.action) {
    case "show":
      return "";
    case "enter":
      return "; a place that was taken is given up, at the latest when its lease ends";
    case "grant":
    case "keepalive":
    case "revoke":
    case "leave":
    case "proclaim":
      return `; it may have happened: ${question.name} show tells`;
    default:
      return unreachable(question);
  }
}
