/** Times at which no client asks for anything, in seeds that have such times: nodes rest in them. */

export interface QuietOptions {
  /** One follows the other; without quiet, 0. */
  readonly busyMs: number;
  readonly quietMs: number;
}

/** How long nothing is to be asked for yet. */
export function quietLeftMs({ busyMs, quietMs }: QuietOptions, nowMs: number): number {
  if (quietMs === 0) return 0;
  const intoMs = nowMs % (busyMs + quietMs);
  return intoMs < busyMs ? 0 : busyMs + quietMs - intoMs;
}
