/** What a person is told when a node cannot start or go on, and can mend it. */

import type { NodeConfig } from "./config.ts";
import { StartError } from "./exit.ts";

/** For what cannot be opened: whose port it is to be, and what to do. */
export function portError(error: unknown, address: string, purpose: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") {
    return new StartError(
      `${address}, the address for ${purpose}, is in use: is this node running already?`,
    );
  }
  const { message } = error as Error;
  // For a name that nobody knows Bun gives no code.
  if (code === undefined && !message.startsWith("Failed to listen")) return error;
  const reason = code ?? "no such address";
  return new StartError(`${address}, the address for ${purpose}, cannot be opened (${reason})`);
}

export function foreignDirectory({ directory }: NodeConfig, detail: string): StartError {
  return new StartError(
    `${directory} is another cluster's: ${detail}; use that cluster's addresses, or another --data-dir`,
  );
}
