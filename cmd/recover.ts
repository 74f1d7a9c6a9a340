/** `kv recover`: when most of the nodes are lost for good, a new cluster of the one that is left. */

import { join, resolve } from "node:path";
import { clusterIdOf } from "../server/formation.ts";
import { configuration, type Member } from "../server/raft/configuration.ts";
import { nodeId } from "../server/raft/entry.ts";
import { DirectoryLock } from "../storage/directory-lock.ts";
import { checkGroup, type Finding, type GroupCheck } from "../storage/group-check.ts";
import { recoverGroup } from "../storage/group-making.ts";
import { readIdentity, writeIdentity, type Identity } from "../storage/identity.ts";
import { NodeDisk } from "../storage/node-disk.ts";
import { loadSqlite } from "../storage/sqlite/open.ts";
import { advised } from "./check.ts";
import { exitCodes, StartError } from "./exit.ts";
import { drawIncarnation, drawSalt, explaining, group, groupDirectory } from "./node-directory.ts";
import type { Report } from "./operator-commands.ts";

export interface RecoverOptions {
  readonly nodeId: number;
  readonly dataDir: string;
  readonly isForced: boolean;
}

export async function recover(options: RecoverOptions): Promise<Report> {
  const path = resolve(join(options.dataDir, `node-${options.nodeId}`));
  const disk = new NodeDisk();
  const driver = await loadSqlite();
  return explaining(path, async () => {
    if (!disk.exists(`${path}/lock`)) throw new StartError(`${path} holds no node's files`);
    const lock = DirectoryLock.acquire(driver, path);
    if (!lock) throw new StartError(`${path} is in use by another kv process; stop that one first`);
    try {
      const identity = identityIn(disk, path, options.nodeId);
      const directory = groupDirectory(path);
      const found = checkGroup({ disk, driver, directory, group });
      const own = refuseUnusable(identity, found);
      const warning = warningOf(identity, found);
      if (!options.isForced) {
        const lines = [...warning, "Nothing was changed. Run it again with --force to do this."];
        return { lines, code: exitCodes.usage };
      }
      const incarnation = drawIncarnation();
      const member: Member = { ...own, role: "voter", incarnation };
      const clusterId = clusterIdOf([member]);
      // The new identity comes first: with it alone this node does nothing, and is recovered again.
      const recovered: Identity = { ...identity, incarnation, clusterId, members: [member] };
      writeIdentity(disk, path, recovered);
      const members = configuration([member]);
      recoverGroup({ disk, driver, directory, group, drawSalt, members });
      const done = `Done: node ${identity.nodeId} is cluster ${clusterId} now. Start it, and add others.`;
      return { lines: [...warning, done], code: exitCodes.done };
    } finally {
      lock.release();
    }
  });
}

function identityIn(disk: NodeDisk, path: string, id: number): Identity {
  const found = readIdentity(disk, path);
  if (found.kind === "damaged") throw new StartError(`${found.path} is damaged: ${found.detail}`);
  if (found.kind === "none" || found.identity.clusterId === null) {
    throw new StartError(`${path} belongs to no cluster: there is nothing to recover`);
  }
  if (found.identity.nodeId !== nodeId(id)) {
    throw new StartError(`${path} belongs to node ${found.identity.nodeId}, not to node ${id}`);
  }
  return found.identity;
}

const logFile = /\/group-\d+\/log\//;

/** Returns this node's own entry in the member list. */
function refuseUnusable(identity: Identity, found: GroupCheck): Member {
  const { findings, log, state } = found;
  // Of a damaged log there is a whole beginning, be it an empty one behind the state.
  const isCut = ({ path }: Finding): boolean => log !== null && logFile.test(path);
  const [worst] = findings.filter((finding) => !finding.isMended && !isCut(finding));
  if (worst || !log || !state) {
    const what = worst ? advised(worst, false) : "its files cannot be read";
    throw new StartError(
      `${what}; kv recover needs a node whose files are whole`,
      exitCodes.damaged,
    );
  }
  const own =
    ownEntry(membersIn(identity, found), identity) ?? ownEntry(identity.members, identity);
  if (own) return own;
  throw new StartError(`node ${identity.nodeId} is not a member of its own cluster`);
}

/** The identity file has those with whom this node came to its cluster, and is never renewed. */
const membersIn = ({ members }: Identity, { configuration: newest }: GroupCheck) =>
  newest?.members ?? members;

const ownEntry = (members: readonly Member[], { nodeId: id, incarnation }: Identity) =>
  members.find((member) => member.id === id && member.incarnation === incarnation);

function warningOf(identity: Identity, found: GroupCheck): string[] {
  const { log, state, findings } = found;
  const { clusterId, nodeId: id } = identity;
  const others = membersIn(identity, found)
    .filter((member) => member.id !== id)
    .map((member) => member.id);
  const [last, applied] = [log?.lastIndex ?? 0, state?.appliedIndex ?? 0];
  const lines = [
    `Node ${id} of cluster ${clusterId} has everything up to entry ${last} of term ${log?.lastTerm}, ` +
      `and ${state?.rowCount} rows as of entry ${applied}.`,
    `This makes a new cluster of node ${id} alone, from that.`,
  ];
  if (!ownEntry(membersIn(identity, found), identity)) {
    lines.push(
      `The newest member list on it does not name this directory: node ${id} was removed from that ` +
        `cluster, which went on without it, or an earlier kv recover was interrupted.`,
    );
  }
  if (others.length > 0) {
    lines.push(
      `LOST FOR GOOD: writes that were acknowledged by nodes ${others.join(", ")} and that never ` +
        `reached node ${id}. Nobody can say whether there are any.`,
      `If one of nodes ${others.join(", ")} can be read, compare: kv check shows the log's last entry. The ` +
        `one with the higher term there, or else the higher number, has more; recover that one.`,
      `Nodes ${others.join(", ")} cannot come back with what they have: delete their directories, and ` +
        `add them to the new cluster as new members.`,
    );
  }
  if (last > applied) {
    lines.push(
      `Entries ${applied + 1} to ${last} were perhaps never acknowledged: they count now.`,
    );
  }
  for (const { path, detail, isMended } of findings) {
    lines.push(`${path}: ${detail}${isMended ? "" : `; what came behind it is given up`}.`);
  }
  return lines;
}
