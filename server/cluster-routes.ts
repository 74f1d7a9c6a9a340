/**
 * `/v1/members`, `/v1/transfer` and `/v1/compact`. The members are one resource with one ETag, and a change of them
 * names the ETag it is based on: who decides on a list that is no longer true decides wrongly.
 */

import { isAddressText } from "./address.ts";
import type { Answer, RequestHead } from "./answer.ts";
import type { ClientPort, Failure, Result } from "./client-port.ts";
import type { MembersAnswer } from "./cluster-port.ts";
import { pathOf } from "./key-path.ts";
import { methodNotAllowed } from "./key-routes.ts";
import type { MemberChange } from "./member-change.ts";
import { parseMemberId } from "./member-text.ts";
import { badRequest, refusal } from "./problem.ts";
import { nodeId } from "./raft/entry.ts";
import { isNodeId } from "./identity.ts";

export interface ClusterCall {
  readonly head: RequestHead;
  readonly target: string;
  readonly body: Uint8Array | Failure;
}

const bodyBytesMax = 4_096;

/** `GET` lists, `POST` adds a learner. */
export function answerMembers(call: ClusterCall, store: ClientPort): Promise<Answer> | Answer {
  switch (call.head.method) {
    case "GET":
    case "HEAD":
      return store.members().then((answer) => membersAnswer(answer, 200, false));
    case "POST": {
      const found = fieldsIn(call, ["id", "raft", "http"]);
      if (!found.ok) return refusal(found, asWrite);
      const { fields } = found;
      const { id } = fields;
      if (!isNodeId(id)) return refusal(badRequest("`id` is a number from 1 on", "id"), asWrite);
      const place = placeIn(fields);
      if ("ok" in place) return refusal(place, asWrite);
      return change(call, { kind: "add", id: nodeId(id), ...place }, { store, status: 201 });
    }
    default:
      return methodNotAllowed(call.head.method, "GET, HEAD, POST");
  }
}

/** `DELETE` removes, `PUT` replaces, `POST …/promote` promotes. */
export function answerMember(call: ClusterCall, store: ClientPort): Promise<Answer> | Answer {
  const [text = "", action, ...rest] = pathOf(call.target).slice("/v1/members/".length).split("/");
  const id = parseMemberId(text);
  if (id === null || rest.length > 0 || (action !== undefined && action !== "promote")) {
    const detail = "the path is /v1/members/ID or /v1/members/ID/promote";
    return refusal({ ok: false, code: "not_found", detail }, asWrite);
  }
  const { method } = call.head;
  const to = { store, status: 200 };
  if (action === "promote") {
    if (method !== "POST") return methodNotAllowed(method, "POST");
    return change(call, { kind: "promote", id }, to);
  }
  if (method === "DELETE") return change(call, { kind: "remove", id }, to);
  if (method !== "PUT") return methodNotAllowed(method, "PUT, DELETE");
  const found = fieldsIn(call, ["raft", "http"]);
  if (!found.ok) return refusal(found, asWrite);
  const place = placeIn(found.fields);
  if ("ok" in place) return refusal(place, asWrite);
  return change(call, { kind: "replace", id, ...place }, to);
}

/** `POST {to}`: answered when that node leads. */
export function answerTransfer(call: ClusterCall, store: ClientPort): Promise<Answer> | Answer {
  if (call.head.method !== "POST") return methodNotAllowed(call.head.method, "POST");
  if (call.head.headers.has("idempotency-key")) return refusal(needless, asWrite);
  const found = fieldsIn(call, ["to"]);
  if (!found.ok) return refusal(found, asWrite);
  const { to } = found.fields;
  if (!isNodeId(to)) return refusal(badRequest("`to` is the id of a node", "to"), asWrite);
  return store.transferLeadership(nodeId(to)).then((answer) => {
    if (!answer.ok) return refusal(answer, asWrite);
    return json(200, { leader: answer.leader }, {});
  });
}

/** `POST {revision?}`, or with no body at all: answered with what this node has reached. */
export function answerCompact(call: ClusterCall, store: ClientPort): Promise<Answer> | Answer {
  if (call.head.method !== "POST") return methodNotAllowed(call.head.method, "POST");
  if (call.head.headers.has("idempotency-key")) return refusal(needless, asWrite);
  const isBare = call.body instanceof Uint8Array && call.body.byteLength === 0;
  const found = isBare ? { ok: true as const, fields: {} } : fieldsIn(call, [], ["revision"]);
  if (!found.ok) return refusal(found, asWrite);
  const { revision }: Record<string, unknown> = found.fields;
  if (revision !== undefined && !(Number.isSafeInteger(revision) && Number(revision) >= 1)) {
    return refusal(badRequest("`revision` is a number from 1 on", "revision"), asWrite);
  }
  return store.compact(revision as number | undefined).then((answer) => {
    return answer.ok ? json(200, answer.compacted, {}) : refusal(answer, asWrite);
  });
}

const asWrite = { write: true };

async function change(
  { head }: ClusterCall,
  what: MemberChange,
  to: { readonly store: ClientPort; readonly status: number },
): Promise<Answer> {
  if (head.headers.has("idempotency-key")) return refusal(conditional, asWrite);
  const condition = head.headers.get("if-match");
  if (condition === null) return refusal(conditionRequired, asWrite);
  const revision = /^"(\d{1,16})"$/.exec(condition.trim())?.[1];
  if (revision === undefined && condition.trim() !== "*") return refusal(oddCondition, asWrite);
  const { store, status } = to;
  const based = revision === undefined ? undefined : Number(revision);
  return membersAnswer(await store.changeMembers(what, based), status, true);
}

function membersAnswer(answer: MembersAnswer, status: number, write: boolean): Answer {
  if (!answer.ok) return refusal(answer, { write });
  const { members, revision } = answer;
  return json(status, { members, revision }, { ETag: `"${revision}"` });
}

function json(status: number, value: unknown, headers: Record<string, string>): Answer {
  return {
    status,
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store", ...headers },
    body: JSON.stringify(value),
  };
}

/** The JSON object in the body, with these fields, and perhaps some that it may have. */
function fieldsIn(
  { head, body }: ClusterCall,
  names: readonly string[],
  optional: readonly string[] = [],
): Result<{ readonly fields: Record<string, unknown> }> {
  if (!(body instanceof Uint8Array)) return body;
  const type = head.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) return notJson;
  const value = body.byteLength > bodyBytesMax ? null : parsed(body);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const known = names.length === 0 ? `at the most ${optional.join(", ")}` : names.join(", ");
    return badRequest(`the body is a JSON object with ${known}`, "body");
  }
  const fields = value as Record<string, unknown>;
  const unknown = Object.keys(fields).find(
    (name) => !names.includes(name) && !optional.includes(name),
  );
  if (unknown !== undefined) {
    return badRequest(`there is no field \`${unknown.slice(0, 100)}\` here`, unknown.slice(0, 100));
  }
  const missing = names.find((name) => !Object.hasOwn(fields, name));
  return missing === undefined
    ? { ok: true, fields }
    : badRequest(`the field \`${missing}\` is missing`, missing);
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return null;
  }
}

function placeIn(fields: Record<string, unknown>): { raft: string; http: string } | Failure {
  const { raft, http } = fields;
  if (typeof raft !== "string" || !isAddressText(raft)) return badAddress("raft");
  if (typeof http !== "string" || !isAddressText(http)) return badAddress("http");
  return { raft, http };
}

const badAddress = (field: string): Failure =>
  badRequest(`\`${field}\` is HOST:PORT, such as 10.0.0.4:63001`, field);

const notJson: Failure = {
  ok: false,
  code: "unsupported_media_type",
  detail: "send JSON, with Content-Type: application/json",
  field: "content-type",
};

const conditionRequired: Failure = {
  ok: false,
  code: "condition_required",
  detail:
    "send If-Match with the ETag of the members this is based on, as GET /v1/members gives it",
  field: "if-match",
};

/** What is in no log entry of the data is not remembered there. */
const conditional = badRequest(
  "a change of the members takes no `idempotency-key`: If-Match lets it happen once",
  "idempotency-key",
);
const needless = badRequest(
  "this takes no `idempotency-key`: asked again it does nothing more",
  "idempotency-key",
);

const oddCondition = badRequest("If-Match is one ETag of GET /v1/members, or *", "if-match");
