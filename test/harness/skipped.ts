/** How a test says that it cannot run here: `if (reason) return skipped(reason);`. */

import { appendFileSync } from "node:fs";
import type { ReportLine } from "./report.ts";

/** Counts the running test as skipped and prints why. Call it once and return from the test. */
export function skipped(why: string): void {
  console.log(`skipped: ${why}`);
  const line: ReportLine = { kind: "skipped", why };
  // Without the harness, when a file is run by itself, the printed line is all there is.
  const reportPath = process.argv[3];
  if (reportPath?.endsWith(".report")) appendFileSync(reportPath, `${JSON.stringify(line)}\n`);
}
