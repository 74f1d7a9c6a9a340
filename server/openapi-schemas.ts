/** What the bodies of the HTTP interface look like, as JSON Schema 2020-12. */

import { failureCodes } from "./problem.ts";
import { conditionsMax, operationsMax, rangeRowsMax } from "./state-machine/transaction.ts";
import { contentTypeBytesMax } from "./state-machine/command.ts";

export const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
export const text = { type: "string" } as const;
export const flag = { type: "boolean" } as const;
export const index = { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
/** The id of a lease, a token: a revision that something was written with. */
export const positive = { ...index, minimum: 1 } as const;

export const duration = {
  type: "string",
  pattern: "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)?$",
  examples: ["500ms", "30s"],
};

interface ObjectOptions {
  /** Names that may be missing. */
  readonly optional?: readonly string[];
  /** Whether fields that are not named may be there. */
  readonly open?: boolean;
}

export function object(properties: Readonly<Record<string, object>>, options: ObjectOptions = {}) {
  const { optional = [], open = false } = options;
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", required, properties, additionalProperties: open } as const;
}

const list = (items: object, more: object = {}) => ({ type: "array", items, ...more });

const integer = {
  description:
    "An integer of 64 bits; digits in a string where a double would not hold it exactly.",
  oneOf: [{ type: "integer" }, { type: "string", pattern: "^-?[0-9]{1,19}$" }],
} as const;

const base64 = { type: "string", contentEncoding: "base64" } as const;

const keyFields = { key: text, keyBase64: base64 };
const valueFields = { value: text, valueBase64: base64 };
const boundFields = {
  prefix: text,
  prefixBase64: base64,
  start: text,
  startBase64: base64,
  end: text,
  endBase64: base64,
};

function operation(op: string | readonly string[], fields: Readonly<Record<string, object>>) {
  const names = typeof op === "string" ? { const: op } : { enum: op };
  return object({ op: names, ...fields }, { optional: Object.keys(fields) });
}

const limit = { type: "integer", minimum: 1, maximum: rangeRowsMax } as const;

const ttl = { oneOf: [duration, { type: "number" }] };

const operations = [
  operation("put", {
    ...keyFields,
    ...valueFields,
    contentType: { type: "string", maxLength: contentTypeBytesMax },
    ttl,
    lease: positive,
  }),
  operation(["get", "delete"], keyFields),
  operation(["range", "deleteRange"], { ...boundFields, limit }),
  operation("incr", { ...keyFields, by: integer, min: integer, max: integer, ttl }),
  operation("touch", { ...keyFields, ttl }),
  operation(["max", "min"], { ...keyFields, value: integer }),
  operation("append", { ...keyFields, ...valueFields }),
];

const condition = object(
  {
    ...keyFields,
    not: flag,
    revision: index,
    createRevision: index,
    exists: flag,
    ...valueFields,
    lock: { ...text, description: "With `token`: whoever holds this lock has that token." },
    election: { ...text, description: "The same of who leads; 0: nobody does." },
    token: index,
  },
  {
    optional: [
      "lock",
      "election",
      "token",
      "key",
      "keyBase64",
      "not",
      "revision",
      "createRevision",
      "exists",
      "value",
      "valueBase64",
    ],
  },
);

const member = {
  id: { type: "integer", minimum: 1 },
  role: { enum: ["voter", "learner"] },
  raft: text,
  http: text,
};

/** How a queue is entered: by a lease that is there, or for a time. */
const entering = { ttl, wait: ttl, lease: positive };

const optionalRow = ["value", "valueBase64", "contentType", "createRevision", "ttlMs", "lease"];
const nullableText = { type: ["string", "null"] };
const side = list(ref("Operation"), { maxItems: operationsMax });

export const schemas = {
  Integer: integer,
  Row: object(
    {
      key: text,
      ...valueFields,
      contentType: text,
      revision: index,
      createRevision: index,
      ttlMs: { ...index, description: "What is left of its TTL." },
      lease: { ...index, description: "The lease with which it goes." },
    },
    { optional: optionalRow },
  ),
  Listing: object(
    { rows: list(ref("Row")), prefixes: list(text), cursor: text, revision: index },
    { optional: ["prefixes", "cursor"] },
  ),
  Change: object(
    {
      type: { enum: ["put", "delete", "expire", "progress"] },
      key: text,
      ...valueFields,
      revision: index,
      contentType: text,
      prev: ref("Row"),
      last: { const: true, description: "No more changes of this revision follow." },
    },
    { optional: ["key", "value", "valueBase64", "contentType", "prev", "last"] },
  ),
  Count: object({ count: index, revision: index }),
  Written: object({ key: text, revision: index }),
  Deleted: object({ deleted: index, revision: index }),
  Changed: object(
    { key: text, value: { oneOf: [integer, text] }, valueBase64: base64, revision: index },
    { optional: ["value", "valueBase64"] },
  ),
  Condition: condition,
  Operation: { oneOf: operations },
  Transaction: object(
    { if: list(ref("Condition"), { maxItems: conditionsMax }), then: side, else: side },
    { optional: ["if", "then", "else"] },
  ),
  TransactionResult: object({
    succeeded: flag,
    results: {
      type: "array",
      description: "In the order of the operations of the side that was done.",
      items: { type: ["object", "null"] },
    },
    revision: index,
  }),
  NewLease: object({ ttl }),
  Lease: object({ id: index, ttlMs: index }),
  LeaseLeft: object({ id: index, ttlMs: index, remainingMs: index }),
  Acquire: object(entering, { optional: ["ttl", "wait", "lease"] }),
  Campaign: object(
    { ...entering, ...valueFields },
    { optional: ["ttl", "wait", "lease", "value", "valueBase64"] },
  ),
  NewValue: object(valueFields, { optional: ["value", "valueBase64"] }),
  Held: object({
    name: text,
    token: { ...index, description: "Of this holder alone, and greater than all before." },
    lease: index,
  }),
  Released: object({ released: { const: true }, revision: index }),
  Proclaimed: object({ name: text, token: index, revision: index }),
  Lock: object({
    name: text,
    holder: { oneOf: [{ type: "null" }, object({ token: index, lease: index })] },
    waiting: { ...index, description: "How many stand behind the holder." },
  }),
  Leader: object(
    {
      leader: {
        oneOf: [
          { type: "null" },
          object({ ...valueFields, token: index }, { optional: ["value", "valueBase64"] }),
        ],
      },
      type: { enum: ["leader", "progress"], description: "Of a line." },
      revision: index,
    },
    { optional: ["type", "revision", "leader"] },
  ),
  Members: object({ members: list(ref("Member")), revision: index }),
  Member: object(
    { ...member, incarnation: nullableText },
    { open: true, optional: ["incarnation"] },
  ),
  Place: object({ raft: text, http: text }),
  NewMember: object({ id: member.id, raft: text, http: text }),
  Transfer: object({ to: member.id }),
  Transferred: object({ leader: member.id }),
  Compact: object({ revision: positive }, { optional: ["revision"] }),
  Compacted: object({
    nodeId: member.id,
    revision: index,
    oldestRevision: index,
    firstLogIndex: index,
    snapshotIndex: index,
  }),
  Status: object(
    {
      nodeId: member.id,
      clusterId: nullableText,
      role: { enum: ["leader", "follower", "candidate", "learner"] },
      term: index,
      leaderId: { type: ["integer", "null"] },
      commitIndex: index,
      appliedIndex: index,
      firstLogIndex: index,
      lastLogIndex: index,
      snapshotIndex: index,
      stateHash: text,
      mending: { oneOf: [{ type: "null" }, object({ log: nullableText, state: nullableText })] },
      members: list(
        object({ ...member, match: index, reachable: flag }, { optional: ["match", "reachable"] }),
      ),
      version: text,
      uptimeSeconds: { type: "number" },
      disk: object({ freeBytes: { type: "number" }, state: { enum: ["ok", "low"] } }),
      limits: { type: "object", additionalProperties: { type: "number" } },
    },
    { open: true },
  ),
  Problem: object(
    {
      type: text,
      title: text,
      status: { type: "integer", minimum: 400, maximum: 599 },
      code: { enum: failureCodes },
      detail: { type: "string", description: "A sentence a person can act on." },
      outcome: {
        enum: ["not_applied", "unknown"],
        description: "Of every failed write: surely nothing was done, or nobody knows.",
      },
      field: { type: "string", description: "The offending field, parameter or header." },
      revision: index,
      oldestRevision: index,
      leader: member.id,
    },
    { optional: ["outcome", "field", "revision", "oldestRevision", "leader"], open: true },
  ),
};
