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
  const listings = new CaseListings(world, judge, shown);
  const leases = new CaseLeases(world, judge, granted);
  const elections = new CaseElections(world, judge, { draws, leases: granted });
  return (caller) => {
    const chance = world.random.float();
    if (chance < 0.24) return writes.transact();
    if (chance < 0.32) return writes.atomic();
    if (chance < 0.36) return writes.deleteRange();
    if (chance < 0.42) return writes.matching();
    if (chance < 0.52) return writes.once();
    if (chance < 0.56) return writes.misused() ?? writes.once();
    if (chance < 0.76) return listings.list(caller);
    if (chance < 0.8) return listings.count();
    return chance < 0.9 ? leases.any() : elections.any();
  };
}
