/** Mistakes about who is told of what, and from when on. Like those of `planted-bugs.ts`. */

import type { PlantedBug } from "./planted-bugs.ts";

const hub = "server/watch/watches.ts";
const watcher = "server/watch/watcher.ts";
const history = "server/watch/change-history.ts";
const ends = "server/watch/node-watch.ts";

export const plantedWatchBugs: readonly PlantedBug[] = [
  {
    name: "watch: a key is told of as often as an entry changes it",
    file: hub,
    find: "  if (changes.length === 1) return changes;\n",
    replace: "  if (changes.length > 0) return [...changes];\n",
  },
  {
    name: "watch: of a key that an entry changes twice what was in between is told",
    file: hub,
    find: "    else net.set(change.key, { ...change, revisionsBefore, rowBefore });",
    replace: "    else net.set(change.key, change);",
  },
  {
    name: "watch: it goes on one revision late",
    file: hub,
    find: "place: since === null ? history.nextPlace : history.placeAfter(since),",
    replace: "place: since === null ? history.nextPlace : history.placeAfter(since + 1),",
  },
  {
    name: "watch: it goes on one revision early",
    file: history,
    find: "if (this.at(middle).revision > revision) high = middle;",
    replace: "if (this.at(middle).revision >= revision) high = middle;",
  },
  {
    name: "watch: what is not applied yet is told of as if it were",
    file: watcher,
    find: 'events.push({ type: "progress", revision: appliedIndex() });',
    replace: 'events.push({ type: "progress", revision: (appliedIndex() + 1) as Index });',
  },
  {
    name: "watch: progress passes over changes that are waited for",
    file: watcher,
    find: "if (this.#owesProgress && this.#queue.length === 0 && this.#scanPlace === null) {",
    replace: "if (this.#owesProgress && this.#scanPlace === null) {",
  },
  {
    name: "watch: progress passes over changes that are looked for",
    file: watcher,
    find: "if (this.#owesProgress && this.#queue.length === 0 && this.#scanPlace === null) {",
    replace: "if (this.#owesProgress && this.#queue.length === 0) {",
  },
  {
    name: "watch: what no longer fits into the queue is left out",
    file: watcher,
    find: "      else this.#scanPlace = place;\n",
    replace: "",
  },
  {
    name: "watch: a revision is called whole before its last change",
    file: watcher,
    find: "    if (next !== undefined) return history.at(next).revision === change.revision;\n",
    replace: "    if (next !== undefined) return history.at(next).revision > change.revision;\n",
  },
  {
    name: "watch: the history claims to reach further back than it does",
    file: history,
    find: "    this.#floor = revision;\n    this.#bytes -= bytes;",
    replace: "    this.#floor = (revision - 1) as Index;\n    this.#bytes -= bytes;",
  },
  {
    name: "watch: a snapshot leaves the history of before",
    file: history,
    find: "    this.#places.clear();\n    this.#floor = appliedIndex;",
    replace: "    this.#places.clear();",
  },
  {
    name: "watch: a snapshot does not end the watches",
    file: hub,
    find: '    this.#endAll("replaced");\n',
    replace: "",
  },
  {
    name: "watch: a history that outlives its process reaches back further than before",
    file: "server/watch/history-rows.ts",
    find: "return { appliedIndex, floor: history.floor, rows: rowsOf(history) };",
    replace: "return { appliedIndex, floor: index(0), rows: rowsOf(history) };",
  },
  {
    name: "watch: what went with its time is told as deleted",
    file: "server/state-machine/execute.ts",
    find: '      rows.remove(key, "expire");\n',
    replace: "      rows.remove(key);\n",
  },
  {
    name: "watch: what a node has not heard of is taken for the future",
    file: ends,
    find: "if (since !== undefined && since <= watches.appliedIndex && isCurrent) done",
    replace: "if (since !== undefined && isCurrent) done",
  },
  {
    name: "watch: now is what the node happens to know",
    file: ends,
    find: "if (since !== undefined && since <= watches.appliedIndex && isCurrent) done",
    replace: "if ((since ?? 0) <= watches.appliedIndex && isCurrent) done",
  },
  {
    name: "watch: the end of a range is part of it",
    file: "server/watch/watch-index.ts",
    find: "compareKeys(key, start) >= 0 && compareKeys(key, end) < 0;",
    replace: "compareKeys(key, start) >= 0 && compareKeys(key, end) <= 0;",
  },
  {
    name: "watch: who watches everything is told of what is hidden",
    file: "server/watch/watch-index.ts",
    find: "      if (length === 0 && isHidden(key)) continue;\n",
    replace: "",
  },
  {
    name: "watch: what stood there before is looked up in the wrong place",
    file: history,
    find: "return this.at(placeBefore).row;",
    replace: "return this.at(Math.min(placeBefore + 1, this.nextPlace - 1)).row;",
  },
  {
    name: "watch: a browser gets the id of a revision with its first change",
    file: "server/watch/watch-json.ts",
    find: 'const isWhole = event.type === "progress" || event.isLast;',
    replace: "const isWhole = event.revision > 0;",
  },
  {
    name: "watch: a client takes half a revision for the whole",
    file: "server/watch/whole-revisions.ts",
    find: '      if (event.type !== "progress" && !event.isLast) continue;\n',
    replace: "",
  },
  {
    name: "watch: a client counts on where the last connection has broken off",
    file: "client/watch-place.ts",
    find: "    this.#partial.come = 0;\n",
    replace: "",
  },
  {
    name: "watch: every change is told with one content type",
    file: "server/watch/watch-json.ts",
    find: "contentType: row?.contentType ?? undefined,",
    replace: 'contentType: row === null ? undefined : "text/plain",',
  },
  {
    name: "watch: what stood there before is never told",
    file: watcher,
    find: "const before = this.wantsBefore ? this.#options.history.rowBefore(change) : null;",
    replace: "const before = null;",
  },
  {
    name: "watch: a node that is cut off says that nothing was left out",
    file: hub,
    find: "    if (this.#options.hasLeader?.() === false) return;\n",
    replace: "",
  },
  {
    name: "watch: four changes are remembered, however many there is room for",
    file: history,
    find: "const isOver = this.nextPlace - this.firstPlace > changesMax ||",
    replace: "const isOver = this.nextPlace - this.firstPlace > 4 + 0 * changesMax ||",
  },
];
