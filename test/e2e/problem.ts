/** What every refusal over HTTP looks like. */

import * as assert from "uvu/assert";
import type { Answer } from "./http.ts";

export interface Expected {
  readonly status: number;
  readonly code: string;
  /** Of a write. */
  readonly outcome?: "not_applied" | "unknown";
}

/** Holds `answer` to be the problem document (RFC 9457) that the contract promises. */
export function assertProblem(answer: Answer, expected: Expected): void {
  const told = `${answer.status} ${answer.text}`;
  assert.is(answer.status, expected.status, told);
  assert.match(answer.headers["content-type"] ?? "", /^application\/problem\+json\b/, told);
  const problem = answer.json();
  assert.is(problem["status"], expected.status, told);
  assert.is(problem["code"], expected.code, told);
  assert.type(problem["title"], "string", told);
  assert.type(problem["type"], "string", told);
  assert.type(problem["detail"], "string", told);
  assert.ok(problem["detail"] !== "", told);
  if (expected.outcome !== undefined) assert.is(problem["outcome"], expected.outcome, told);
  if ([429, 503].includes(expected.status)) {
    assert.match(answer.headers["retry-after"] ?? "", /^[1-9]\d*$/, told);
  }
}
