/** Writing to standard output and standard error, where a disk may be full and a reader gone. */

/** Standard output did not take the answer: whoever asked must not believe that there was none. */
export class OutputError extends Error {
  override name = "OutputError";

  readonly #code: string;

  constructor(code: string, answer?: string) {
    const said = answer === undefined ? "" : `: ${answer}`;
    super(`the answer cannot be written to standard output (${code})${said}`);
    this.#code = code;
  }

  /** The same where something was changed, which has to be said all the same. */
  afterWrite(answer: string): OutputError {
    return new OutputError(this.#code, answer);
  }
}

/**
 * Resolves when `stream` has taken `text`, or when its reader has gone (`kv list | head -1`), which is no
 * failure of ours. Rejects with `OutputError`.
 */
export function write(stream: NodeJS.WritableStream, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => {
      stream.off("error", done);
      const code = codeOf(error);
      if (code === null || code === "EPIPE") resolve();
      else reject(new OutputError(code));
    };
    stream.once("error", done);
    try {
      stream.write(text, done);
    } catch (error) {
      // Deno writes at once, and throws.
      done(error as Error);
    }
  });
}

/** A line for the person at standard error. Never throws: there is nowhere left to say it. */
export function tell(line: string): void {
  try {
    process.stderr.write(`${line}\n`);
  } catch {
    // The disk behind it is full, or its reader gone.
  }
}

function codeOf(error: Error | null | undefined): string | null {
  if (!error) return null;
  return (error as NodeJS.ErrnoException).code ?? error.name;
}
