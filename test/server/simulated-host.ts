/** One machine of the simulated nodes: what of it outlives its process, and whom it knows. */

import { Formation, judgePeer, type Formed } from "../../server/formation.ts";
import type { PeerIdentity } from "../../server/handshake.ts";
import type { Node } from "../../server/node.ts";
import { must } from "../../server/raft/assert.ts";
import {
  configuration,
  hasOtherVoter,
  type Configurations,
  type Member,
} from "../../server/raft/configuration.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { Roster } from "../../server/roster.ts";
import {
  createGroup,
  openGroup,
  type GroupFiles,
  type OpenedMachine,
} from "../../storage/group-files.ts";
import { ReservedSpace } from "../../storage/reserved-space.ts";
import type { RaftLog } from "../../storage/raft-log.ts";
import { SnapshotFiles } from "../../storage/snapshot-files.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { MemoryMachine } from "./memory-machine.ts";

const directory = "group";
const logSizesDefault = { segmentBytes: 4096, preallocateBytes: 1024 };
export type LogSizes = Partial<typeof logSizesDefault>;

export interface HostOptions {
  readonly id: NodeId;
  readonly incarnation: string;
  readonly plan: readonly Member[];
  readonly drawSalt: () => number;
  /** Small ones where none are given, so that segments come and go. */
  readonly logSizes: LogSizes | undefined;
}

interface Opened {
  readonly files: GroupFiles<MemoryMachine>;
  readonly snapshots: SnapshotFiles;
  readonly formed: Formed;
}

export class SimulatedHost {
  readonly id: NodeId;
  readonly incarnation: string;
  readonly disk = new MemoryDisk();
  readonly machine = new MemoryMachine();
  readonly #options: HostOptions;
  #formed: Formed | null = null;
  files: GroupFiles<MemoryMachine> | null = null;
  snapshots: SnapshotFiles | null = null;
  roster: Roster | null = null;
  node: Node | null = null;
  died: unknown = null;
  /** What is wrong with the state machine's file. */
  stateDamage: string | null = null;

  constructor(options: HostOptions) {
    this.#options = options;
    this.id = options.id;
    this.incarnation = options.incarnation;
    this.disk.makeDirectory(directory);
  }

  get isFormed(): boolean {
    return this.#formed !== null;
  }

  form(formed: Formed): void {
    const { drawSalt } = this.#options;
    createGroup({ disk: this.disk, directory, group: 0, drawSalt });
    this.#formed = formed;
  }

  get space(): ReservedSpace {
    return new ReservedSpace(this.disk, directory);
  }

  get log(): RaftLog {
    return must(this.files, "the node runs").log;
  }

  open(): Opened {
    const { disk, machine } = this;
    const { drawSalt, logSizes = logSizesDefault } = this.#options;
    const formed = must(this.#formed, "it is part of a cluster");
    const openMachine = (path: string): OpenedMachine<MemoryMachine> => {
      if (this.stateDamage === null) return { ok: true, store: machine };
      return { ok: false, damage: { path, detail: this.stateDamage } };
    };
    const opened = openGroup({
      ...{ disk, directory, group: 0, drawSalt, logSizes, openMachine },
      setMachineAside: () => {
        machine.wipe();
        this.stateDamage = null;
      },
      hasPeers: (newest) => hasOtherVoter(newest ?? configuration(formed.members), this.id),
    });
    if (!opened.ok) throw new Error(`${opened.damage.path}: ${opened.damage.detail}`);
    const { files } = opened;
    const snapshots = new SnapshotFiles({
      ...{ disk, directory, group: 0, clusterId: formed.clusterId, machine, log: files.log },
      formed: configuration(formed.members),
      drawId: drawSalt,
    });
    this.files = files;
    this.snapshots = snapshots;
    return { files, snapshots, formed };
  }

  /** The node runs, and goes by these configurations. */
  meet(configurations: Configurations): void {
    const { id, incarnation } = this;
    const { clusterId } = must(this.#formed, "it is part of a cluster");
    const address = must(
      this.#options.plan.find((member) => member.id === id),
      "it is in its own plan",
    );
    this.roster = new Roster({ self: id, incarnation, clusterId, configurations, address });
  }

  get identity(): PeerIdentity {
    if (this.roster) return this.roster.identity;
    const { id, incarnation } = this;
    const members = this.#options.plan.map((member) => ({ ...member, incarnation: null }));
    return { nodeId: id, incarnation, clusterId: null, members, revision: 0 };
  }

  admits(other: SimulatedHost): boolean {
    return (this.roster?.judge(other.identity) ?? null) === null;
  }

  /** This empty directory meets a member. Returns whether it is a part of the cluster from now on. */
  knockAt(member: SimulatedHost): boolean {
    const { roster } = member;
    const { id, incarnation, identity } = this;
    const own = must(
      identity.members.find((planned) => planned.id === id),
      "a node is in its own plan",
    );
    const refusal = roster?.judge(identity);
    if (refusal) {
      member.node?.knocked({ id, incarnation, raft: own.raft, http: own.http });
      return false;
    }
    if (judgePeer(identity, member.identity) !== null) return false;
    const formation = new Formation({ self: id, incarnation, plan: this.#options.plan });
    const formed = formation.adopt(member.identity);
    if (formed) this.form(formed);
    return formed !== null;
  }
}
