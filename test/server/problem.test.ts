/** Failures become problem documents whose status, headers and outcome can be relied on. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Failure } from "../../server/client-port.ts";
import { badRequest, problem, statusOf } from "../../server/problem.ts";

function failure(code: Failure["code"], more: Partial<Failure> = {}): Failure {
  return { ok: false, code, detail: "why", ...more };
}

test("every code has the status that the interface names", () => {
  const expected = {
    bad_request: 400,
    forbidden: 403,
    not_found: 404,
    method_not_allowed: 405,
    too_large: 413,
    key_too_long: 414,
    unsupported_media_type: 415,
    wrong_host: 421,
    overloaded: 429,
    internal: 500,
    not_implemented: 501,
    no_leader: 503,
    stale: 503,
    unreachable: 503,
    timeout: 504,
    no_space: 507,
  } as const;
  for (const [code, status] of Object.entries(expected)) {
    assert.is(statusOf(code as Failure["code"]), status);
  }
});

test("the document carries what the failure knows and nothing else", async () => {
  const leader = 2 as NonNullable<Failure["leader"]>;
  const response = problem({ ...badRequest("why", "limit"), leader });
  assert.is(response.headers.get("content-type"), "application/problem+json");
  assert.equal(await response.json(), {
    type: "about:blank",
    title: "The request is not one this server understands",
    status: 400,
    code: "bad_request",
    detail: "why",
    field: "limit",
    leader: 2,
  });
});

test("503 and 429 say in whole seconds when to come back, others do not", () => {
  assert.is(problem(failure("no_leader")).headers.get("retry-after"), "1");
  const busy = failure("overloaded", { retryAfterSeconds: 1.2 });
  assert.is(problem(busy).headers.get("retry-after"), "2");
  assert.is(problem(failure("timeout")).headers.get("retry-after"), null);
});

test("a failed write names its outcome, a failed read has none", async () => {
  const outcome = async (of: Failure, write: boolean) => {
    const body = (await problem(of, { write }).json()) as { outcome?: string };
    return body.outcome;
  };
  assert.is(await outcome(failure("bad_request"), true), "not_applied");
  assert.is(await outcome(failure("timeout"), true), "unknown");
  assert.is(await outcome(failure("internal"), true), "unknown");
  assert.is(await outcome(failure("no_leader", { outcome: "unknown" }), true), "unknown");
  assert.is(await outcome(failure("timeout"), false), undefined);
});

test.run();
