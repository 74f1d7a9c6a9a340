/**
 * Clients that try every case of what a node can be asked: conditions, operations, listings, leases,
 * elections, requests under a key. What they are answered has to be what the committed rows make of it.
 */

import { Caller, type Asking } from "./caller.ts";
import { CaseDraws } from "./case-draws.ts";
import { CaseElections } from "./case-elections.ts";
import { CaseJudge } from "./case-judge.ts";
import { CaseLeases } from "./case-leases.ts";
import { CaseListings } from "./case-listings.ts";
import { CaseRequests } from "./case-requests.ts";
import { CaseWrites } from "./case-writes.ts";
import type { Life } from "./process.ts";
import type { SimWorld } from "./world.ts";

export function callers(world: SimWorld, failed: (error: unknown) => void): Caller[] {
  const count = world.changes === null ? 0 : world.options.callers;
  if (count === 0) return [];
  const shown = new WeakMap<Life, number>();
  const surroundings = { world, shown, failed, draw: drawing(world, shown) };
  return Array.from({ length: count }, (_, i) => new Caller(surroundings, i + 1));
}

function drawing(world: SimWorld, shown: WeakMap<Life, number>): (caller: number) => Asking {
  const judge = new CaseJudge(world);
  const granted: number[] = [];
  const draws = new CaseDraws(world, judge, granted);
  const writes = new CaseWrites(world, judge, draws);
  const requests = new CaseRequests(world, judge, { draws, writes });
  const listings = new CaseListings(world, judge, shown);
  const leases = new CaseLeases(world, judge, granted);
  const elections = new CaseElections(world, judge, { draws, leases: granted });
  return (caller) => {
    if (world.options.leaps) maybeLeap(world);
    const chance = world.random.float();
    if (chance < 0.24) return writes.transact();
    if (chance < 0.32) return writes.atomic();
    if (chance < 0.36) return writes.deleteRange();
    if (chance < 0.42) return writes.matching();
    if (chance < 0.52) return requests.once();
    if (chance < 0.56) return requests.misused() ?? requests.once();
    if (chance < 0.76) return listings.list(caller);
    if (chance < 0.8) return listings.count();
    return chance < 0.9 ? leases.any() : elections.any();
  };
}

const leapHours = [25, 25, 49];

/** Now and then, who leads finds that a day has gone by: and so has the log's time. */
function maybeLeap({ random, processes, coverage }: SimWorld): void {
  const isDue = random.float() < 0.03;
  const hours = random.pick(leapHours);
  if (!isDue) return;
  const leader = processes.find(({ life }) => life?.node.leadership.role === "leader");
  if (leader === undefined) return;
  leader.clock.leap(hours * 60 * 60 * 1_000);
  coverage.add("the log's time leaps");
}
