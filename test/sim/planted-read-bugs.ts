/** Mistakes of reads that wait: for a change, a revision, a recent state. Like those of `planted-bugs.ts`. */

import type { PlantedBug } from "./planted-bugs.ts";

const bounds = "server/read-bounds.ts";
const poll = "server/long-poll.ts";
const client = "server/node-client.ts";

export const plantedReadBugs: readonly PlantedBug[] = [
  {
    name: "reads: the revision before the one that was asked for is enough",
    file: bounds,
    find: "!(await reaches(node, minRevision, timeoutMs))",
    replace: "!(await reaches(node, minRevision - 1, timeoutMs))",
  },
  {
    name: "reads: whoever waits for a revision is let go with the next one",
    file: "server/watch/watches.ts",
    find: "      if (waiting.revision > this.#appliedIndex) continue;\n",
    replace: "",
  },
  {
    name: "reads: a state of any age is recent enough",
    file: bounds,
    find: "if (ageMs !== null && ageMs <= maxStaleMs) return null;",
    replace: "if (ageMs !== null) return null;",
  },
  {
    name: "reads: whoever asks for a revision gets what the node happens to have",
    file: client,
    find: 'if (level === "local") return this.#lookUp(',
    replace: 'if (level === "local" || minRevision !== undefined) return this.#lookUp(',
  },
  {
    name: "reads: a state that is being made anew is shown",
    file: client,
    find: 'if (level === "local" && node.mending?.state) {',
    replace: 'if (level === "local" && node.mending?.state && minRevision === -1) {',
  },
  {
    name: "long poll: what one knows already is a change",
    file: poll,
    find: "before.row.revision > after;",
    replace: "before.row.revision >= after;",
  },
  {
    name: "long poll: it waits for what comes from now on, whatever one knows",
    file: poll,
    find: "{ ...watching, since: after };",
    replace: "watching;",
  },
  {
    name: "long poll: that a key has gone is forgotten with the history",
    file: poll,
    find: "before.row === null ? isForgotten :",
    replace: "before.row === null ? false :",
  },
  {
    name: "long poll: a sign that nothing was left out is a change",
    file: poll,
    find: 'if (event.type !== "progress") return event.revision;',
    replace: "return event.revision;",
  },
  {
    name: "long poll: nothing came, whatever there is now",
    file: poll,
    find: "answer.ok && answer.row?.revision === before.row?.revision;",
    replace: "answer.ok;",
  },
  {
    name: "long poll: it begins to listen when it has looked at the row",
    file: poll,
    find: "const change = firstChange(watch.batches);",
    replace:
      "const change = { then: (done: () => void) => void firstChange(watch.batches).then(done) };",
  },
  {
    name: "long poll: a change is told with what stood there before it",
    file: poll,
    find: "const answer = await store.get(key, { ...options, minRevision: revision });",
    replace: "const answer = before;",
  },
];
