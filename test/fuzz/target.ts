/** Runs fuzz targets: draws inputs from a seed until one breaks a claim, and makes that one smaller. */

import { Random } from "../raft/random.ts";

/** One surface that takes bytes from others. */
export interface Target {
  readonly name: string;
  /** A tape is at most this long. */
  readonly tapeBytesMax: number;
  /** Runs with a fixed seed in the unit tests. */
  readonly testRuns: number;
  /** Rejects or throws where the input shows a fault. What it leaves behind must not matter. */
  check(input: Uint8Array): void | Promise<void>;
  /** Before the first check. */
  open?(): Promise<void>;
  close?(): Promise<void>;
}

export interface Finding {
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Asked before each run. */
  readonly isOver: (runs: number) => boolean;
  /** A run that takes longer counts as a hang. Default 5 s: machines are shared. */
  readonly runMsMax?: number;
  /** Is told each input before it is tried. */
  readonly trying?: (input: Uint8Array) => void;
}

export interface FuzzResult {
  readonly runs: number;
  readonly finding: Finding | null;
}

/** A fault that is there with this many attempts to cut it is small enough. */
const shrinkAttemptsMax = 2_000;
const runMsMaxDefault = 5_000;

/** The target is opened before and closed after by the caller. */
export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  const random = new Random(options.seed);
  let runs = 0;
  while (!options.isOver(runs)) {
    const input = drawTape(random, target.tapeBytesMax);
    runs++;
    const error = await tryInput(target, input, options);
    if (error === null) continue;
    return { runs, finding: await shrink(target, { input, error }, options) };
  }
  return { runs, finding: null };
}

/** Null where all claims hold. */
export async function tryInput(
  target: Target,
  input: Uint8Array,
  options: Pick<FuzzOptions, "runMsMax" | "trying"> = {},
): Promise<{ reason: unknown } | null> {
  options.trying?.(input);
  const started = performance.now();
  try {
    await target.check(input);
  } catch (reason) {
    return { reason };
  }
  const tookMs = performance.now() - started;
  if (tookMs <= (options.runMsMax ?? runMsMaxDefault)) return null;
  return { reason: new Error(`it took ${Math.round(tookMs)} ms`) };
}

/** Short tapes are as likely as long ones: a fault that needs little is then found small. */
function drawTape(random: Random, bytesMax: number): Uint8Array {
  const length = 1 + random.below(2 ** random.below(Math.ceil(Math.log2(bytesMax)) + 1));
  const tape = new Uint8Array(Math.min(bytesMax, length));
  for (let i = 0; i < tape.byteLength; i++) tape[i] = random.below(256);
  return tape;
}

/** Cuts pieces out, large ones first, then makes bytes zero, while the input still fails. */
async function shrink(
  target: Target,
  found: { input: Uint8Array; error: { reason: unknown } },
  options: FuzzOptions,
): Promise<Finding> {
  let { input, error } = found;
  let attempts = 0;
  const take = async (candidate: Uint8Array): Promise<boolean> => {
    if (attempts++ >= shrinkAttemptsMax) return false;
    const failed = await tryInput(target, candidate, options);
    if (failed === null) return false;
    input = candidate;
    error = failed;
    return true;
  };
  for (let size = input.byteLength >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < input.byteLength;) {
      const without = [...input.subarray(0, at), ...input.subarray(at + size)];
      if (!(await take(Uint8Array.from(without)))) at += size;
    }
  }
  for (let at = 0; at < input.byteLength; at++) {
    if (input[at] !== 0) await take(input.with(at, 0));
  }
  return { input, error: error.reason };
}
