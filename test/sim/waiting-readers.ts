/** The clients whose reads wait, as many as a seed has of them. */

import type { LocalReads } from "./local-reads.ts";
import { WaitingChecks } from "./waiting-checks.ts";
import { WaitingReader, type ReaderSurroundings } from "./waiting-reader.ts";

export function waitingReaders(
  surroundings: Omit<ReaderSurroundings, "checks"> & { readonly localReads: LocalReads },
): WaitingReader[] {
  const { world, registers, localReads, failed } = surroundings;
  const { changes, options } = world;
  const checks = new WaitingChecks(world, localReads);
  const count = changes === null ? 0 : options.waitingReaders;
  return Array.from(
    { length: count },
    (_, i) => new WaitingReader({ world, registers, checks, failed }, i + 1),
  );
}
