/** Bits that flip in the files of one node while it is down. */

import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import * as assert from "uvu/assert";
import { exitCodes } from "../../cmd/exit.ts";
import type { ClusterNode } from "../e2e/cluster.ts";
import {
  databaseFile,
  filesOf,
  flipAll,
  hardStateFile,
  logFile,
  usedBytes,
} from "../e2e/node-files.ts";
import { until } from "../e2e/wait.ts";
import type { Random } from "../raft/random.ts";
import { type Fault, type FaultKind, type Target, targets } from "./fault.ts";
import type { World } from "./world.ts";

/** To mend the damage, to be back without having met it, or to refuse. */
const verdictMs = 20_000;
const pageBytes = 4_096;

/** A part of a file: what is flipped in it. */
interface Place {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

interface Spot {
  readonly name: string;
  /** Whether the node heals by itself; otherwise it may refuse. */
  readonly isMendable: boolean;
  readonly file: RegExp;
  /** `at` is from 0 to 1. */
  choose(path: string, at: number): Place;
}

function bytesOf(path: string, offset: number, count: number): Place {
  return { path, from: offset, to: offset + count };
}

function pageOf(path: string, at: number): Place {
  const used = usedBytes(path);
  const page = Math.floor((at * used) / pageBytes);
  return bytesOf(path, page * pageBytes, Math.min(pageBytes, used - page * pageBytes));
}

const logBit: Spot = {
  name: "a bit of the log",
  isMendable: true,
  file: logFile,
  choose: (path, at) => bytesOf(path, Math.floor(at * usedBytes(path)), 1),
};

const spots: readonly Spot[] = [
  logBit,
  {
    name: "a copy of the hard state",
    isMendable: true,
    file: hardStateFile,
    choose: (path, at) => bytesOf(path, at < 0.5 ? 20 : pageBytes + 20, 1),
  },
  {
    name: "the hard state",
    isMendable: false,
    file: hardStateFile,
    choose: (path) => bytesOf(path, 0, usedBytes(path)),
  },
  // A single bit may hide in a stored key for a while, a known gap; a page that is nonsense may not.
  { name: "a page of the database", isMendable: true, file: databaseFile, choose: pageOf },
  {
    name: "the first bytes of the database",
    isMendable: true,
    file: databaseFile,
    choose: (path) => bytesOf(path, 0, 100),
  },
  {
    name: "a page of the database's WAL",
    isMendable: true,
    file: /\.sqlite-wal$/,
    choose: pageOf,
  },
];

class Damage implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #spot: Spot;
  readonly #at: number;
  #victim: ClusterNode | null = null;
  #place: Place | null = null;
  #damaged: Buffer = Buffer.alloc(0);

  constructor(target: Target, spot: Spot, at: number) {
    this.#target = target;
    this.#spot = spot;
    this.#at = at;
    this.name = `damage at the ${target}: ${spot.name}`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    await victim.kill();
    const [drawn = ""] = filesOf(victim, this.#spot.file);
    // A checkpoint may just have emptied the WAL: then it is the log's turn.
    const spot = usedBytes(drawn) > 0 ? this.#spot : logBit;
    const [path = ""] = filesOf(victim, spot.file);
    const place = spot.choose(path, this.#at);
    const whole = this.#read(place);
    flipAll(path, place.from, place.to);
    this.#place = place;
    this.#damaged = this.#read(place);
    assert.ok(whole.length > 0 && !whole.equals(this.#damaged), "something is damaged");
    victim.start();
    const where = `node ${victim.id}, bytes ${place.from} to ${place.to} of ${basename(path)}`;
    await until(`${where}: it refuses or is whole`, verdictMs, async () => {
      if (!victim.isRunning) return true;
      return (await victim.isReady()) && (await victim.status()).mending === null;
    });
    if (!victim.isRunning) this.#assertRefused(victim);
    return `${where}: it ${victim.isRunning ? "serves" : "refuses"}`;
  }

  async heal(world: World): Promise<void> {
    const victim = this.#victim;
    if (victim === null) return;
    // It may have met the damage only after a while.
    if (!victim.isRunning) this.#assertRefused(victim);
    // Or not at all, where a newer copy hid it. There it must not lie in wait for the next fault.
    await victim.kill();
    this.#undo();
    world.revive(victim);
  }

  /** What is mended may be in another file now, or in none. */
  #read({ path, from, to }: Place): Buffer {
    return existsSync(path) ? readFileSync(path).subarray(from, to) : Buffer.alloc(0);
  }

  #assertRefused(victim: ClusterNode): void {
    const { code, signal } = victim.process.ending ?? {};
    const last = victim.process.errorLines.at(-1) ?? "";
    if (signal === "SIGKILL") return;
    assert.not.ok(this.#spot.isMendable, `it mends this by itself, but: ${last}`);
    assert.is(code, exitCodes.damaged, `how it ended: ${last}`);
    assert.ok(last.includes(victim.directory), `the last line names a file: ${last}`);
  }

  /** Only where nothing has been written since: what was promised meanwhile must stay. */
  #undo(): void {
    const place = this.#place;
    if (place === null || !this.#read(place).equals(this.#damaged)) return;
    flipAll(place.path, place.from, place.to);
  }
}

export const damaging: FaultKind = {
  name: "damaged files",
  isAlone: true,
  whyNot: () => null,
  draw: (random: Random) => new Damage(random.pick(targets), random.pick(spots), random.float()),
};
