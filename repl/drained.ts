/** Waiting for a slow reader of what is printed. */

export interface Drainable {
  on(event: "drain" | "error" | "close", listener: () => void): unknown;
  removeListener(event: "drain" | "error" | "close", listener: () => void): unknown;
}

const signs = ["drain", "error", "close"] as const;

/** After a write that was too much: resolves when `output` takes more, or is gone. */
export async function drained(output: Drainable): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      for (const sign of signs) output.removeListener(sign, done);
      resolve();
    };
    for (const sign of signs) output.on(sign, done);
  });
}
