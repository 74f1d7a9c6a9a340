/** How a process ends: its exit codes, and the errors that carry one. */

export const exitCodes = {
  done: 0,
  /** A one-shot command was told no; or the environment does not let a node start or go on. */
  refused: 1,
  usage: 2,
  /**
   * A one-shot command could not reach the cluster, does not know what became of its write, or could
   * not say its answer.
   */
  unreachable: 3,
  /** Damaged files that this node cannot mend. */
  damaged: 4,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The environment does not let the node start, or go on. The message is one line for a person. */
export class StartError extends Error {
  override name = "StartError";
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = exitCodes.refused) {
    super(message);
    this.exitCode = exitCode;
  }
}
