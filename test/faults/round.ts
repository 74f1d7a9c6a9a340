/** One round: a cluster, clients, a schedule of faults that a seed determines, and the verdict. */

import type { Scope } from "../e2e/scope.ts";
import { pause } from "../e2e/wait.ts";
import { Random } from "../raft/random.ts";
import { Clients } from "./clients.ts";
import type { Fault, FaultKind } from "./fault.ts";
import { assertSound } from "./verdict.ts";
import { World } from "./world.ts";

export interface RoundOptions {
  readonly seed: number;
  /** Each is injected as often as it is named here, in an order that the seed determines. */
  readonly kinds: readonly FaultKind[];
  /** What happens when, line by line. */
  readonly tell: (line: string) => void;
}

export interface RoundResult {
  readonly injected: ReadonlyMap<string, number>;
  readonly summary: string;
}

/** A fault stands for so long, and it is quiet for so long after it. */
const standsMinMs = 200;
const standsMaxMs = 800;
/** Of one that lasts: an election is over by then, and sometimes not. */
const lastsMinMs = 1_000;
const lastsMaxMs = 4_000;
const quietMaxMs = 300;
/** So often the next fault comes while the one before still stands. */
const overlapChance = 0.35;
/** So often everything has to be well again before the next, where none stands. */
const wholeChance = 0.5;
const wholeMs = 30_000;

interface Step {
  readonly kind: FaultKind;
  readonly fault: Fault;
  readonly standsMs: number;
  readonly quietMs: number;
  /** Everything is well before it. */
  readonly isFirst: boolean;
  readonly overlaps: boolean;
  readonly waitsForWhole: boolean;
}

const between = (random: Random, least: number, most: number): number =>
  least + random.below(most - least);

/** Everything random of the round is drawn here, before it starts: timing changes none of it. */
function drawSchedule(random: Random, kinds: readonly FaultKind[]): Step[] {
  const left = [...kinds];
  const steps: Step[] = [];
  while (left.length > 0) {
    const [kind] = left.splice(random.below(left.length), 1);
    if (kind === undefined) break;
    const before = steps.at(-1)?.kind;
    const isFirst = kind.isAlone === true || kind.needsLoad === true;
    const mayOverlap = before?.isAlone !== true && !isFirst;
    steps.push({
      kind,
      fault: kind.draw(random),
      standsMs: kind.lasts
        ? between(random, lastsMinMs, lastsMaxMs)
        : between(random, standsMinMs, standsMaxMs),
      quietMs: random.below(quietMaxMs),
      isFirst,
      overlaps: random.float() < overlapChance && mayOverlap,
      waitsForWhole: random.float() < wholeChance,
    });
  }
  return steps;
}

/** Rejects with everything that is needed to look into it. */
export async function playRound(scope: Scope, options: RoundOptions): Promise<RoundResult> {
  const { seed, kinds } = options;
  const startedMs = performance.now();
  const log: string[] = [];
  const tell = (line: string): void => {
    log.push(`${((performance.now() - startedMs) / 1000).toFixed(3).padStart(8)} s  ${line}`);
    options.tell(log.at(-1) ?? "");
  };
  scope.onFailure(() => `  seed ${seed}, what happened:\n    ${log.join("\n    ")}\n`);
  const steps = drawSchedule(new Random(seed), kinds);
  const world = await World.start(scope);
  const clients = Clients.start(world.cluster, { seed });
  scope.onEnd(() => clients.stop());
  await clients.progresses(50, 10_000);
  const injected = new Map<string, number>();
  let standing: Step | null = null;
  for (const step of steps) {
    if (standing !== null && !step.overlaps) {
      await heal(world, standing, tell);
      if (standing.waitsForWhole || standing.kind.isAlone || step.isFirst) {
        tell(`whole, node ${(await world.whole(wholeMs)).id} leads`);
      }
      standing = null;
    }
    tell(`${step.fault.name}: ${await step.fault.start(world)}`);
    injected.set(step.kind.name, (injected.get(step.kind.name) ?? 0) + 1);
    await pause(step.standsMs);
    // Never more than two at a time, so that the next one still finds somebody to meet.
    if (standing !== null) await heal(world, standing, tell);
    standing = step;
  }
  if (standing !== null) await heal(world, standing, tell);
  world.network.heal();
  const leader = await world.whole(wholeMs);
  tell(`all are well again, node ${leader.id} leads`);
  await clients.progresses(20, 10_000);
  await clients.stop();
  await world.cluster.assertSameState(wholeMs);
  await clients.readAll();
  assertSound(clients);
  tell(clients.summary());
  return { injected, summary: clients.summary() };
}

async function heal(world: World, step: Step, tell: (line: string) => void): Promise<void> {
  await step.fault.heal(world);
  tell(`healed: ${step.fault.name}`);
  await pause(step.quietMs);
}
