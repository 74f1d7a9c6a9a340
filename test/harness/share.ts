/**
 * Numbers a test goes through one by one (seeds, places of a fault) are shared where the same file runs on
 * every runtime: `KV_SHARE=2/3` takes the second of three shares, and `npm test` takes all three, each on a
 * runtime of its own. Without it, as where one runtime is asked for, a run takes all of them.
 */

const [, part = "1", parts = "1"] = /^(\d+)\/(\d+)$/.exec(process.env["KV_SHARE"] ?? "") ?? [];

/** The environment of the run on the runtime at `position` of `count`. */
export const shareOf = (position: number, count: number): { KV_SHARE: string } => ({
  KV_SHARE: `${position + 1}/${count}`,
});

/** Of `count` whole numbers those of this run. Shares are of one size, give or take one. */
export function* shared(count: number, first = 0): Generator<number> {
  for (let at = Number(part) - 1; at < count; at += Number(parts)) yield first + at;
}

/** Of the places 0, `step`, twice `step` and so on below `end` those of this run. */
export function* sharedPlaces(end: number, step: number): Generator<number> {
  for (const count of shared(Math.ceil(end / step))) yield count * step;
}
