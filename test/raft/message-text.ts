/** Messages, entries and member lists as one readable line each, and back again. */

import { assert, must, unreachable } from "../../server/raft/assert.ts";
import {
  configuration,
  decodeConfiguration,
  encodeConfiguration,
  type Configuration,
  type Member,
  type MemberRole,
} from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Entry } from "../../server/raft/entry.ts";
import type { Message } from "../../server/raft/message.ts";

const runLengthMin = 8;

const marks: Record<MemberRole, string> = { voter: "", promoted: "+", learner: "~" };

/** `x*1000` stands for a thousand times x. */
export function dataOf(text: string): Uint8Array {
  const repeated = /^(.)\*(\d+)$/.exec(text);
  const whole = repeated ? must(repeated[1], "a group").repeat(Number(repeated[2])) : text;
  return new TextEncoder().encode(whole);
}

export function dataText(data: Uint8Array): string {
  const text = new TextDecoder().decode(data);
  const first = text[0] ?? "";
  const isRun = text.length >= runLengthMin && text === first.repeat(text.length);
  return isRun ? `${first}*${text.length}` : text;
}

/** `1,2',+3,~4`: voters by number, who is promoted with a plus, learners with a tilde, a quote for each
 *  wipe of the directory. */
export function membersText(config: Configuration): string {
  return config.members
    .map(({ id, role, incarnation }) => `${marks[role]}${incarnation || id}`)
    .join(",");
}

export const membersOf = (text: string): Configuration =>
  configuration(text.split(",").map(memberOf));

export function memberOf(word: string): Member {
  const other = (["promoted", "learner"] as const).find((role) => word.startsWith(marks[role]));
  const role = other ?? "voter";
  const id = Number(word.replaceAll(/[~+']/g, ""));
  assert(Number.isSafeInteger(id) && id > 0, `"${word}" is no member`);
  const incarnation = word.endsWith("'") ? word.replace(/[~+]/, "") : "";
  return { id: nodeId(id), role, raft: `node-${id}:1`, http: `node-${id}:2`, incarnation };
}

/**
 * `index/term` of an empty entry, `index/term:data` of a command, `index/term:{members}`; the log
 * time goes before the colon as `@ms` unless it is 0.
 */
export function entryText(entry: Entry): string {
  const time = entry.timeMs > 0 ? `@${entry.timeMs}` : "";
  const place = `${entry.index}/${entry.term}${time}`;
  switch (entry.kind) {
    case "noop":
      return place;
    case "command":
      return `${place}:${dataText(entry.data)}`;
    case "configuration":
      return `${place}:{${membersText(decodeConfiguration(entry.data))}}`;
    default:
      return unreachable(entry.kind);
  }
}

export function entryOf(text: string): Entry {
  const parts = must(/^(\d+)\/(\d+)(?:@(\d+))?(?::(.*))?$/.exec(text), `"${text}" is no entry`);
  const timeMs = Number(parts[3] ?? 0);
  const place = { index: index(Number(parts[1])), term: term(Number(parts[2])), timeMs };
  const rest = parts[4];
  if (rest === undefined) return { ...place, kind: "noop", data: new Uint8Array(0) };
  const members = /^\{(.*)\}$/.exec(rest);
  if (!members) return { ...place, kind: "command", data: dataOf(rest) };
  const data = encodeConfiguration(membersOf(must(members[1], "a group")));
  return { ...place, kind: "configuration", data };
}

/** The message's name, its fields in a fixed order, its entries last. */
export function messageText(message: Message): string {
  return [message.type, `term=${message.term}`, ...fieldTexts(message)].join(" ");
}

function fieldTexts(message: Message): string[] {
  switch (message.type) {
    case "preVote":
      return [`last=${message.lastLogIndex}/${message.lastLogTerm}`];
    case "vote": {
      const last = `last=${message.lastLogIndex}/${message.lastLogTerm}`;
      return message.transfer ? [last, "transfer=true"] : [last];
    }
    case "preVoteResponse":
    case "voteResponse":
      return [`granted=${message.granted}`];
    case "append": {
      const { previousIndex, previousTerm, commitIndex, entries } = message;
      const place = `previous=${previousIndex}/${previousTerm}`;
      return [place, `commit=${commitIndex}`, ...entries.map(entryText)];
    }
    case "appendAccepted":
      return [`match=${message.matchIndex}`];
    case "appendRejected":
      return [`previous=${message.previousIndex}`, `hint=${message.hintIndex}/${message.hintTerm}`];
    case "heartbeat": {
      const commit = `commit=${message.commitIndex}`;
      return message.readRound > 0 ? [commit, `round=${message.readRound}`] : [commit];
    }
    case "heartbeatResponse":
      return message.readRound > 0 ? [`round=${message.readRound}`] : [];
    case "snapshot": {
      const members = membersText(message.configuration);
      return [`last=${message.lastIndex}/${message.lastTerm}`, `members=${members}`];
    }
    case "timeoutNow":
      return [];
    case "readIndex":
      return [`request=${message.requestId}`];
    case "readIndexResponse":
      return [`request=${message.requestId}`, `index=${message.readIndex}`];
    case "recoveryPoint":
    case "recoveryPointResponse":
      return [`request=${message.requestId}`, `last=${message.lastIndex}`];
    default:
      return unreachable(message);
  }
}

/** Reads what `messageText` wrote; fields that are left out are 0, false or empty. */
export function messageOf(words: readonly string[]): Message {
  const [type, ...rest] = words;
  const entries = rest.filter((word) => /^\d+\//.test(word)).map(entryOf);
  const fields = new Map<string, string>();
  for (const word of rest) {
    const at = word.indexOf("=");
    if (at > 0 && !/^\d/.test(word)) fields.set(word.slice(0, at), word.slice(at + 1));
  }
  const text = (name: string): string => fields.get(name) ?? "0";
  const number = (name: string): number => Number(text(name).split("/")[0]);
  const second = (name: string): number => Number(text(name).split("/")[1] ?? "0");
  const at = term(number("term"));
  const last = { index: index(number("last")), term: term(second("last")) };
  const asked = { term: at, lastLogIndex: last.index, lastLogTerm: last.term };
  const granted = text("granted") === "true";
  switch (type as Message["type"]) {
    case "preVote":
      return { type: "preVote", ...asked };
    case "vote":
      return { type: "vote", ...asked, transfer: text("transfer") === "true" };
    case "preVoteResponse":
      return { type: "preVoteResponse", term: at, granted };
    case "voteResponse":
      return { type: "voteResponse", term: at, granted };
    case "append": {
      const previousIndex = index(number("previous"));
      const previousTerm = term(second("previous"));
      const commitIndex = index(number("commit"));
      return { type: "append", term: at, previousIndex, previousTerm, commitIndex, entries };
    }
    case "appendAccepted":
      return { type: "appendAccepted", term: at, matchIndex: index(number("match")) };
    case "appendRejected": {
      const hintIndex = index(number("hint"));
      const hintTerm = term(second("hint"));
      const previousIndex = index(number("previous"));
      return { type: "appendRejected", term: at, previousIndex, hintIndex, hintTerm };
    }
    case "heartbeat": {
      const commitIndex = index(number("commit"));
      return { type: "heartbeat", term: at, commitIndex, readRound: number("round") };
    }
    case "heartbeatResponse":
      return { type: "heartbeatResponse", term: at, readRound: number("round") };
    case "snapshot": {
      const members = membersOf(must(fields.get("members"), "a snapshot has members"));
      const place = { term: at, lastIndex: last.index, lastTerm: last.term };
      return { type: "snapshot", ...place, configuration: members };
    }
    case "timeoutNow":
      return { type: "timeoutNow", term: at };
    case "readIndex":
      return { type: "readIndex", term: at, requestId: number("request") };
    case "readIndexResponse": {
      const readIndex = index(number("index"));
      return { type: "readIndexResponse", term: at, requestId: number("request"), readIndex };
    }
    case "recoveryPoint":
    case "recoveryPointResponse": {
      const requestId = number("request");
      return { type: type as "recoveryPoint", term: at, requestId, lastIndex: last.index };
    }
    default:
      throw new Error(`"${type}" is no message`);
  }
}
