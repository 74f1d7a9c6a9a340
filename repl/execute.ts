/** Runs one line against the store and says what to print; the terminal and the pipe share it. */

import type { ClientPort, Failure } from "../server/client-port.ts";
import { renderFailure, renderProblem, type FailureOf } from "./answers.ts";
import { helpText } from "./help.ts";
import type { Mode } from "./mode.ts";
import { parseLine, type Question } from "./parser.ts";
import { jsonLine } from "./render.ts";
import { ask } from "./reply.ts";
import type { Reply } from "./reply-forms.ts";
import { renderTable } from "./table.ts";
import { sessionDoubt } from "./session-words.ts";
import { watch, watchLeaders } from "./watch.ts";

/** `text` is null where there is nothing to say: a blank line, `exit`. */
export interface Execution {
  readonly text: string | null;
  readonly exit: boolean;
}

/** What `.mode` and `.timing` have said. */
export interface Settings {
  mode: Mode;
  showsTime: boolean;
}

export const defaultSettings = (): Settings => ({ mode: "text", showsTime: false });

export interface ExecuteOptions {
  /**
   * When it aborts, the answer is no longer waited for; what it says then is honest about a write that
   * is already under way.
   */
  readonly signal?: AbortSignal;
  /** Shows what comes before the end; where there is none, nothing can be watched. */
  readonly print?: (text: string) => Promise<void>;
  /** Of the terminal that the answer is for; null where it is for none. */
  readonly columns: number | null;
  /** Lines change them for those behind. */
  readonly settings?: Settings;
  /** Tells the time that a command takes. */
  readonly monotonicMs?: () => number;
}

export async function execute(
  store: ClientPort,
  line: string,
  options: ExecuteOptions,
): Promise<Execution> {
  const { settings = defaultSettings(), monotonicMs = () => 0 } = options;
  const parsed = parseLine(line);
  const { mode } = settings;
  if (!parsed.ok) {
    const { detail, advice } = parsed;
    const failure = { ok: false, code: "bad_request", detail: `${detail}; ${advice}` };
    return said(mode === "json" ? jsonLine(failure) : renderProblem(parsed));
  }
  const command = parsed.command;
  if (command === null) return { text: null, exit: false };
  switch (command.name) {
    case "exit":
      return { text: null, exit: true };
    case "help":
      return said(helpText(command.command));
    case ".mode":
      settings.mode = command.mode ?? mode;
      return said(`mode ${settings.mode}`);
    case ".timing":
      settings.showsTime = command.isOn ?? settings.showsTime;
      return said(`timing ${settings.showsTime ? "on" : "off"}`);
    case "watch":
      return said(await watch(store, command.options, { ...options, mode }));
    case "leaders":
      return said(await watchLeaders(store, command.election, { ...options, mode }));
    default: {
      const startMs = monotonicMs();
      const answer = await answerTo(store, command, options);
      const text = answer.ok ? shownIn(mode, answer, options) : refusedIn(mode, answer, command);
      const tookMs = monotonicMs() - startMs;
      return said(settings.showsTime ? `${text}\n(${tookMs.toFixed(1)} ms)` : text);
    }
  }
}

const said = (text: string): Execution => ({ text, exit: false });

async function answerTo(
  store: ClientPort,
  question: Question,
  { signal }: ExecuteOptions,
): Promise<Reply | Failure> {
  const answer = ask(store, question, signal);
  return signal === undefined ? answer : Promise.race([answer, givenUp(signal, question)]);
}

function shownIn(mode: Mode, reply: Reply, { columns }: ExecuteOptions): string {
  if (mode === "json") return jsonLine(reply.json);
  const table = mode === "table" ? reply.table?.() : undefined;
  return table === undefined ? reply.text(columns) : renderTable(table, columns);
}

function refusedIn(mode: Mode, failure: Failure, { name }: Question): string {
  if (mode === "json") return jsonLine(failure);
  return renderFailure(failure, failureOf(name));
}

function failureOf(name: Question["name"]): FailureOf {
  switch (name) {
    case "member":
    case "transfer":
    case "compact":
      return "cluster";
    case "lease":
    case "lock":
    case "election":
      return "session";
    default:
      return "key";
  }
}

/** Resolves when the person gives up waiting. */
function givenUp(signal: AbortSignal, question: Question): Promise<Failure> {
  const detail = `interrupted${doubtOf(question)}`;
  return new Promise((resolve) => {
    const give = (): void => resolve({ ok: false, code: "timeout", detail });
    signal.addEventListener("abort", give, { once: true });
  });
}

function doubtOf(question: Question): string {
  switch (question.name) {
    case "put":
    case "del":
    case "atomic":
    case "delrange":
    case "txn":
      return "; the write may have happened: get the key to see";
    case "member":
      return question.change === null ? "" : "; it may have happened: member list shows it";
    case "transfer":
      return "; it may have happened: status shows it";
    case "lease":
    case "lock":
    case "election":
      return sessionDoubt(question);
    default:
      return "";
  }
}
