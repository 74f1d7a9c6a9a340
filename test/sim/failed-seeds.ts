/**
 * Seeds that once failed, each with what it found: they are run again with every test. Where the drawing
 * of options changes, a seed means another run; what it found is then kept by the script or test named.
 */

export interface FailedSeed {
  readonly seed: number;
  readonly found: string;
}

export const failedSeeds: readonly FailedSeed[] = [];
