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
    name: "reads: a revision that has not come yet is refused at once",
    file: bounds,
    find: "reaches(node, minRevision, timeoutMs)",
    replace: "reaches(node, minRevision, 0)",
  },
  {
    name: "reads: a state that is too old is refused at once",
    file: bounds,
    find: "if (node.clock.monotonicMs() >= endMs) {",
    replace: "if (endMs > 0) {",
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
    find: "if (!answer.ok || answer.row?.revision !== before.row?.revision) return now(answer);",
    replace: "if (!answer.ok) return now(answer);",
  },
  {
    name: "long poll: it begins to listen when it has looked at the row",
    file: poll,
    find: "const hearing = firstChange(watch.batches);",
    replace:
      "const hearing = { then: (done: () => void) => void firstChange(watch.batches).then(done) };",
  },
  {
    name: "long poll: what has gone while the row was read is not looked for",
    file: poll,
    find: "return (await whatWasMissed(poll, { after, answer })) ?? unchanged;",
    replace: "return unchanged;",
  },
  {
    name: "long poll: it hardly waits",
    file: poll,
    find: "const watching = { key, signal, forMs };",
    replace: "const watching = { key, signal, forMs: forMs / 20 };",
  },
  {
    name: "long poll: it waits far too long",
    file: poll,
    find: "const watching = { key, signal, forMs };",
    replace: "const watching = { key, signal, forMs: 5 * forMs };",
  },
  {
    name: "long poll: it waits for one who has gone",
    file: poll,
    find: "const giveUp = (): void => given.abort();",
    replace: "const giveUp = (): void => {};",
  },
  {
    name: "long poll: a change is told with what stood there before it",
    file: poll,
    find: "return now(await store.get(key, { ...options, minRevision: came }));",
    replace:
      'return now({ ok: true, level: options.level ?? "linearizable", row: null, revision: came });',
  },
];
