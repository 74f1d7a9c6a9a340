/** The commands of the prompt with a line of help each; the parser takes the names from here. */

import { commandFlags } from "./flags.ts";
import { actionLines } from "./session-words.ts";

export const commandNames = [
  "put",
  "get",
  "del",
  "list",
  "count",
  "incr",
  "max",
  "min",
  "append",
  "getdel",
  "touch",
  "delrange",
  "watch",
  "txn",
  "lease",
  "lock",
  "election",
  "status",
  "member",
  "transfer",
  "compact",
  ".mode",
  ".timing",
  "help",
  "exit",
] as const;

export type CommandName = (typeof commandNames)[number];

interface Help {
  readonly usage: string;
  readonly meaning: string;
  readonly example: string;
}

const helps: Readonly<Record<CommandName, Help>> = {
  put: {
    usage: "put KEY VALUE",
    meaning: "store a value",
    example: 'put greeting "hello world"',
  },
  get: { usage: "get KEY", meaning: "show a value", example: "get greeting" },
  del: { usage: "del KEY", meaning: "delete a key", example: "del greeting --if-match 12" },
  list: {
    usage: "list [PREFIX]",
    meaning: "show keys and values",
    example: "list user/ --limit 10 --reverse",
  },
  count: { usage: "count [PREFIX]", meaning: "count keys", example: "count user/" },
  incr: {
    usage: "incr KEY [BY]",
    meaning: "count, and show the value",
    example: "incr stock -1 --min 0",
  },
  max: { usage: "max KEY N", meaning: "raise a number to N", example: "max record 42" },
  min: { usage: "min KEY N", meaning: "lower a number to N", example: "min lowest -3" },
  append: {
    usage: "append KEY VALUE",
    meaning: "put it behind the value",
    example: "append log ' and more'",
  },
  getdel: { usage: "getdel KEY", meaning: "show a value and delete it", example: "getdel job/7" },
  touch: {
    usage: "touch KEY TIME",
    meaning: "let it go after that time",
    example: "touch job/7 30s",
  },
  delrange: {
    usage: "delrange PREFIX",
    meaning: "delete keys that begin so",
    example: "delrange user/",
  },
  txn: {
    usage: "txn JSON",
    meaning: "all or nothing; goes on over lines",
    example: 'txn {"then": [{"op": "incr", "key": "visits"}]}',
  },
  watch: {
    usage: "watch [PREFIX]",
    meaning: "show changes until Ctrl-C",
    example: "watch user/ --since 12",
  },
  lease: {
    usage: "lease ACTION …",
    meaning: "a time that many keys share",
    example: "lease grant 30s",
  },
  lock: {
    usage: "lock ACTION …",
    meaning: "one at a time, in order of coming",
    example: "lock acquire deploy --wait 10s",
  },
  election: {
    usage: "election ACTION …",
    meaning: "one leads, and tells all a value",
    example: "election campaign primary 10.0.0.7:9000",
  },
  status: { usage: "status", meaning: "show the node and the cluster", example: "status" },
  member: {
    usage: "member ACTION …",
    meaning: "list, add, promote, remove, replace",
    example: "member remove 3",
  },
  transfer: { usage: "transfer ID", meaning: "let that node lead", example: "transfer 2" },
  compact: {
    usage: "compact [REV]",
    meaning: "give up this node's history so far",
    example: "compact 1200",
  },
  ".mode": {
    usage: ".mode [MODE]",
    meaning: "show answers as text, json, table",
    example: ".mode table",
  },
  ".timing": { usage: ".timing [on|off]", meaning: "show how long it took", example: ".timing on" },
  help: { usage: "help [COMMAND]", meaning: "show this", example: "help put" },
  exit: { usage: "exit", meaning: "stop, as quit and Ctrl-D do", example: "exit" },
};

const quoting = [
  "Words that hold blanks stand in quotes: 'as it is', or \"with escapes\":",
  '\\n \\t \\r \\\\ \\" \\xHH (a byte) \\u{HEX} (a character). An empty value is "".',
  "Values that are not printable text are shown in the same escapes.",
];

const memberActions = [
  "member list                     show the members",
  "member add ID=RAFT/HTTP         add a machine; it learns, and has no vote yet",
  "member promote ID               give it a vote, once it has caught up",
  "member remove ID                take it out, for good",
  "member replace ID=RAFT/HTTP     another machine in its place, with its vote",
];

const aboutFlags =
  "Flags come behind the other words; help COMMAND lists them. In quotes a word is none.";

/** One line per command, and the rules of quoting; about one command, its line and its flags. */
export function helpText(command: CommandName | null): string {
  if (command === null) return [...commandNames.map(helpLine), ...quoting, aboutFlags].join("\n");
  const flags = Object.entries(commandFlags[command] ?? {}).map(([name, { value, meaning }]) => {
    const form = value === null ? `--${name}` : `--${name} ${value}`;
    return `  ${form.padEnd(26)}${meaning}`;
  });
  return [helpLine(command), ...flags, ...moreAbout(command)].join("\n");
}

function moreAbout(command: CommandName): readonly string[] {
  switch (command) {
    case "put":
      return quoting;
    case "member":
      return memberActions;
    case "lease":
    case "lock":
    case "election":
      return actionLines(command);
    default:
      return [];
  }
}

export function usageOf(command: CommandName): string {
  return helps[command].usage;
}

export function exampleOf(command: CommandName): string {
  return helps[command].example;
}

function helpLine(name: CommandName): string {
  const { usage, meaning, example } = helps[name];
  return `${usage.padEnd(18)}${meaning.padEnd(37)}${example}`;
}

/** Words of other systems' prompts, and the command of ours that does the same. */
const synonyms: ReadonlyMap<string, CommandName> = new Map([
  ["set", "put"],
  ["write", "put"],
  ["read", "get"],
  ["show", "get"],
  ["delete", "del"],
  ["rm", "del"],
  ["remove", "del"],
  ["ls", "list"],
  ["keys", "list"],
  ["scan", "list"],
  ["decr", "incr"],
  ["pop", "getdel"],
  ["expire", "touch"],
  ["ttl", "touch"],
  ["mode", ".mode"],
  ["timing", ".timing"],
  ["multi", "txn"],
  ["subscribe", "watch"],
  ["info", "status"],
  ["unlock", "lock"],
  ["acquire", "lock"],
  ["mutex", "lock"],
  ["campaign", "election"],
  ["elect", "election"],
  ["leader", "election"],
  ["resign", "election"],
  ["session", "lease"],
  ["keepalive", "lease"],
  ["?", "help"],
  [".help", "help"],
  [".exit", "exit"],
  [".quit", "exit"],
  ["q", "exit"],
  ["bye", "exit"],
]);

/** Longer words are no misspelt command. */
const misspeltLengthMax = 12;

/** The command that was probably meant by `word`; null where none is near. */
export function nearestCommand(word: string): CommandName | null {
  if (word.length > misspeltLengthMax) return null;
  const lower = word.toLowerCase();
  const synonym = synonyms.get(lower);
  if (synonym !== undefined) return synonym;
  let nearest: CommandName | null = null;
  let least = 3;
  for (const name of commandNames) {
    const distance = editDistance(lower, name);
    // Of a word of three letters two wrong ones leave nothing to go by.
    if (distance < least && distance < Math.max(name.length, lower.length) - 1) {
      nearest = name;
      least = distance;
    }
  }
  return nearest;
}

/** Insertions, deletions, substitutions and swaps of neighbours that lead from one to the other. */
function editDistance(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, count) => count);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let distance = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && swapped) {
        distance = Math.min(distance, (beforePrevious[column - 2] ?? 0) + 1);
      }
      current.push(distance);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[to.length] ?? 0;
}
