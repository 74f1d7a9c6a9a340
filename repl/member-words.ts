/** The words after `member`, `transfer` and `compact`, at the prompt and on the command line. */

import type { MemberChange } from "../server/member-change.ts";
import { parseMemberId, parseMemberText } from "../server/member-text.ts";
import type { NodeId } from "../server/raft/entry.ts";

/** What is wrong with the word at `position`, and what would be right. */
export interface WrongWord {
  readonly ok: false;
  readonly position: number;
  readonly detail: string;
  readonly advice: string;
}

/** `change` is null where the members are only to be listed. */
export type MemberWords =
  | { readonly ok: true; readonly change: MemberChange | null; readonly count: number }
  | WrongWord;

export const memberActions = ["list", "add", "promote", "remove", "replace"] as const;

const memberForm = "ID=RAFT/HTTP, such as 4=10.0.0.4:63001/10.0.0.4:8001";

/** `count` words of `words` are understood; more may follow, and are too many. */
export function readMemberWords(words: readonly string[]): MemberWords {
  const [action = "list", what = ""] = words;
  switch (action) {
    case "list":
      return { ok: true, change: null, count: 1 };
    case "add":
    case "replace": {
      const place = parseMemberText(what);
      if (!place) return wrong(1, `${action} needs a member as ${memberForm}`);
      return { ok: true, change: { kind: action, ...place }, count: 2 };
    }
    case "promote":
    case "remove": {
      const id = parseMemberId(what);
      if (id === null) return wrong(1, `${action} needs the id of a node, such as 3`);
      return { ok: true, change: { kind: action, id }, count: 2 };
    }
    default:
      return wrong(0, `"${action}" is nothing that can be done with members`);
  }
}

export function readTransferWords(
  words: readonly string[],
): { readonly ok: true; readonly to: NodeId } | WrongWord {
  const to = parseMemberId(words[0] ?? "");
  if (to !== null) return { ok: true, to };
  return {
    ...wrong(0, "transfer needs the id of the node that is to lead"),
    advice: "for example: transfer 2",
  };
}

/** Without a word, all that the node has applied. */
export function readCompactWords(
  words: readonly string[],
): { readonly ok: true; readonly revision: number | undefined } | WrongWord {
  const [word] = words;
  if (word === undefined) return { ok: true, revision: undefined };
  const revision = /^[1-9]\d{0,15}$/.test(word) ? Number(word) : NaN;
  if (Number.isSafeInteger(revision)) return { ok: true, revision };
  return { ...wrong(0, "a revision is a number from 1 on"), advice: "for example: compact 1200" };
}

const wrong = (position: number, detail: string): WrongWord => ({
  ok: false,
  position,
  detail,
  advice: "use member list, add ID=RAFT/HTTP, promote ID, remove ID or replace ID=RAFT/HTTP",
});
