/** What a worker writes about its file, one JSON object a line, as it happens. */

export type ReportLine =
  | { kind: "started"; test: string }
  | { kind: "skipped"; why: string }
  | { kind: "failure"; text: string }
  /** The last line of every run that came to its end. `passed` counts skipped tests too. */
  | { kind: "counts"; total: number; passed: number };

export interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  /** Each in full; never empty when `failed` is not 0. */
  failures: string[];
  /** The reasons given by skipped tests. */
  skips: string[];
}

/** How the process of a worker ended. */
export interface Ending {
  exitCode: number | null;
  signal: string | null;
  timedOutAfterMs?: number;
}

/** By itself, or by the signal that a worker gives itself behind its last line where an exit might hang. */
const isOrderly = ({ exitCode, signal }: Ending): boolean => exitCode === 0 || signal === "SIGKILL";

function parse(text: string): ReportLine[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as ReportLine);
}

/**
 * The verdict on one file. It passes only if the worker came to its end, every registered test ran and
 * passed or gave a reason for being skipped, there was at least one, and nothing else went wrong.
 */
export function judge(reportText: string, ending: Ending): Outcome {
  let started = "";
  let counts = { total: 0, passed: 0 };
  let ended = false;
  const failures: string[] = [];
  const skips: string[] = [];
  for (const line of parse(reportText)) {
    if (line.kind === "started") started = line.test;
    else if (line.kind === "skipped") skips.push(line.why);
    else if (line.kind === "failure") failures.push(line.text);
    else {
      counts = line;
      ended = true;
    }
  }
  if (ending.timedOutAfterMs !== undefined) {
    failures.push(`still running after ${ending.timedOutAfterMs / 1000} s, at "${started}"`);
  } else if (failures.length === 0 && !(ended && isOrderly(ending))) {
    const how = ending.signal ?? `exit code ${ending.exitCode}`;
    failures.push(`the process ended with ${how}, at "${started}"`);
  }
  const passed = Math.max(0, counts.passed - skips.length);
  const missing = counts.total - counts.passed;
  if (failures.length === 0 && missing > 0) failures.push(`${missing} tests did not pass`);
  if (failures.length === 0 && counts.total === 0) failures.push("ran no test");
  const failed = failures.length === 0 ? 0 : Math.max(1, missing);
  return { passed, failed, skipped: skips.length, failures, skips };
}
