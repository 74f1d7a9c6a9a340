/** Mistakes about members: who counts, from when on, and until when. Like those of `planted-bugs.ts`. */

import type { PlantedBug } from "./planted-bugs.ts";

const history = "server/raft/configuration-history.ts";

export const plantedMemberBugs: readonly PlantedBug[] = [
  {
    name: "members: a newcomer counts before its promotion is committed",
    file: "server/raft/configuration.ts",
    find: 'config.members.filter((member) => member.role === "voter").map',
    replace: 'config.members.filter((member) => member.role !== "learner").map',
  },
  {
    name: "members: an old directory's answers count",
    file: "server/raft/raft.ts",
    find: "if (isNamed || !isCounted(message)) step(this, from, message, isNamed);",
    replace: "step(this, from, message, isNamed);",
  },
  {
    name: "members: a configuration stays in force when it is cut off",
    file: history,
    find: "    while (this.#dated.length > 1 && this.#last.index >= first.index) this.#dated.pop();\n",
    replace: "",
  },
  {
    name: "members: a second change begins before the first is committed",
    file: "server/raft/leader.ts",
    find: "if (isPending || !hasCommittedInTerm(raft))",
    replace: "if ((isPending && raft.log.commitIndex === 0) || !hasCommittedInTerm(raft))",
    also: {
      file: "server/membership.ts",
      find: 'if (current !== committed) return { kind: "later" };',
      replace: "",
    },
  },
  {
    name: "members: a change begins before an entry of the term is committed",
    file: "server/raft/leader.ts",
    find: "if (isPending || !hasCommittedInTerm(raft))",
    replace: "if (isPending || raft.log.lastIndex < 0)",
  },
  {
    name: "members: another leader's change counts as one's own",
    file: "server/cluster-requests.ts",
    find: "if (found !== null && found !== place.term) this.#settled(taken, null);",
    replace: "if (found !== null && found < 0) this.#settled(taken, null);",
  },
];
