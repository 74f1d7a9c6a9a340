/** `/openapi.json`: every route of the HTTP interface, as OpenAPI 3.1 describes one. */

import { defaultLimits } from "./limits.ts";
import { atomicOperations } from "./atomic-routes.ts";
import { duration, flag, index, positive, ref, schemas, text } from "./openapi-schemas.ts";
import {
  answer,
  bodyOf,
  header,
  inPath,
  mediaType,
  mismatch,
  once,
  problemBody,
  query,
  refusals,
  revisionHeader,
  type Described,
  type PathItem,
  type Paths,
} from "./openapi-parts.ts";
import { leasePaths } from "./openapi-leases.ts";
import { keyBytesMax, valueBytesMax } from "./state-machine/command.ts";

const anyBytes = { schema: {} };
const etagHeader = { schema: text, description: 'The revision in quotes, such as "12".' };
const written = { ETag: etagHeader, "X-KV-Revision": revisionHeader };
const read = {
  "X-KV-Revision": revisionHeader,
  "X-KV-Level": { schema: { enum: ["linearizable", "local"] }, description: "How it was read." },
  "X-KV-Age": {
    schema: { type: "integer" },
    description: "Of a local read: milliseconds since this node last knew it was current.",
  },
  "X-KV-Min-Revision": {
    schema: index,
    description: "The `min_revision` that was asked for, and that the state has reached.",
  },
};

const readRow = {
  ...read,
  ETag: etagHeader,
  "X-KV-Create-Revision": {
    schema: index,
    description: "Of the write that made the key, where it is another one.",
  },
  "X-TTL": { schema: { type: "number" }, description: "Seconds until the key goes; if it does." },
};

const level = query(
  "level",
  { enum: ["linearizable", "lease", "local"], default: "linearizable" },
  "`local` answers from what this node has, which may be old.",
);
const reading = [
  level,
  query("min_revision", index, "503 `stale` where this revision is not reached in time."),
  query("max_stale", duration, "How old a `local` answer may be."),
  query("timeout", duration, "How long to wait for `min_revision`."),
];
const ifMatch = header("If-Match", "Only if the row has this ETag; `*`: any.");
const ifNoneMatch = header("If-None-Match", "Only if there is no row (`*`), or none of this ETag.");
const ttl = query("ttl", duration, "The key goes after this time; in `X-TTL` as well.");
const ttlHeader = header("X-TTL", "As `ttl`.", duration);
const lease = query("lease", positive, "The key goes with this lease; in `X-Lease` as well.");
const leaseHeader = header("X-Lease", "As `lease`.", positive);
const contentType = header("Content-Type", "Kept with the value, whatever it is.");
const condition = [412, "The condition does not hold; `ETag` is what is there."] as const;
const tooLarge = [413, "The value is too large."] as const;
const noLease = [404, "The lease is gone."] as const;

const integer64 = ref("Integer");
const keyInPath = inPath(
  "key",
  { type: "string", minLength: 1, maxLength: keyBytesMax },
  "All of the rest of the path, slashes too, percent-decoded once. A literal last segment `:` is `%3A`.",
);
const selection = [
  query("prefix", text, "Keys that begin with this."),
  query("start", text, "Keys from this one on."),
  query("end", text, "Keys below this one."),
];

const keyPath: PathItem = {
  get: {
    operationId: "get",
    summary: "The value of a key",
    parameters: [
      ...reading,
      query("wait", duration, "Waits so long for a row that is newer; 304 when none came."),
      query("after", index, "With `wait`: newer than this revision."),
      header("If-None-Match", "304 where the row still has this ETag."),
    ],
    responses: {
      200: {
        description: "The bytes, with the content type they were stored with.",
        headers: readRow,
        content: { "*/*": anyBytes },
      },
      304: {
        description: "It has not changed, or with `wait` not come; without a row there is no ETag.",
        headers: readRow,
      },
      404: {
        description: "There is no such key; `X-KV-Revision` is that of the state.",
        headers: read,
        content: problemBody,
      },
      ...refusals(),
    },
  },
  put: {
    operationId: "put",
    summary: "Stores a value",
    parameters: [contentType, ttl, ttlHeader, lease, leaseHeader, ifMatch, ifNoneMatch, once],
    requestBody: {
      description: `The value, ${valueBytesMax} bytes at the most.`,
      content: { "*/*": anyBytes },
    },
    responses: {
      200: answer("Replaced.", ref("Written"), written),
      201: answer("Created.", ref("Written"), written),
      ...refusals(condition, noLease, tooLarge, mismatch, [507, "A disk is full."]),
    },
  },
  delete: {
    operationId: "delete",
    summary: "Deletes a key",
    parameters: [ifMatch, ifNoneMatch, once],
    responses: { 200: answer("Done.", ref("Deleted")), ...refusals(condition, mismatch) },
  },
  post: {
    operationId: "change",
    summary: "Changes a value where it is",
    parameters: [
      {
        ...query("op", { enum: atomicOperations }, "What is done."),
        required: true,
      },
      query("by", { ...integer64, default: 1 }, "Of `incr`: what is added."),
      query(
        "value",
        text,
        "Of `max` and `min` an integer, of `append` the text where no body is sent.",
      ),
      query("min", integer64, "Of `incr`: refused where the result would be below."),
      query("max", integer64, "Of `incr`: refused where the result would be above."),
      query(
        "ttl",
        duration,
        "Of `touch`, and of `incr` where it makes the key: it goes after this time.",
      ),
      ttlHeader,
      once,
    ],
    requestBody: { description: "Of `append`: the bytes.", content: { "*/*": anyBytes } },
    responses: {
      200: {
        description: "Done; `getdel` answers the bytes that were there.",
        headers: written,
        content: { "application/json": { schema: ref("Changed") }, "*/*": anyBytes },
      },
      ...refusals(
        [404, "`getdel` or `touch` found no such key."],
        [409, "It cannot be done on what is there."],
        mismatch,
      ),
    },
  },
};

/** A line of a listing with `delimiter`. */
const group = { type: "object", required: ["prefix"], properties: { prefix: text } };

const rangePath: PathItem = {
  get: {
    operationId: "list",
    summary: "Rows in the order of their keys' bytes",
    description: "With `Accept: application/x-ndjson` one row a line, however many they are.",
    parameters: [
      ...selection,
      query(
        "limit",
        {
          type: "integer",
          minimum: 1,
          maximum: defaultLimits.listRowsMax,
          default: defaultLimits.listRowsDefault,
        },
        "Rows at the most; of NDJSON there is no default.",
      ),
      query("cursor", text, "Goes on where the listing ended that gave it."),
      query("reverse", flag, "From the greatest key down."),
      query("keys", flag, "Rows without values."),
      query("count", flag, "Only how many there are."),
      query("delimiter", text, "What goes on behind the next one is given as one of `prefixes`."),
      ...reading,
    ],
    responses: {
      200: {
        description: "The rows, or how many they are.",
        headers: read,
        content: {
          "application/json": { schema: { oneOf: [ref("Listing"), ref("Count")] } },
          "application/x-ndjson": { schema: { oneOf: [ref("Row"), group] } },
        },
      },
      ...refusals(),
    },
  },
  delete: {
    operationId: "deleteRange",
    summary: "Deletes all rows of a selection, in one entry of the log",
    description: "Without `limit`: all of them or, where they are too many, none.",
    parameters: [
      ...selection,
      query(
        "limit",
        { type: "integer", minimum: 1, maximum: defaultLimits.rangeRowsMax },
        "Rows at the most.",
      ),
      once,
    ],
    responses: { 200: answer("Done.", ref("Deleted")), ...refusals(mismatch) },
  },
};

const folderInPath = inPath(
  "folder",
  { type: "string", maxLength: keyBytesMax },
  "What the keys begin with, up to the slash before the `:`; without it (`/v1/kv/:`), all keys.",
);
/** As unstorage's HTTP driver asks. */
const folderPath: PathItem = {
  get: {
    operationId: "keysBelow",
    summary: "All keys below a path, as one array, however many",
    parameters: [folderInPath, ...reading],
    responses: {
      200: {
        description: "In the order of their bytes.",
        headers: read,
        content: { "application/json": { schema: { type: "array", items: text } } },
      },
      ...refusals(),
    },
  },
  delete: {
    operationId: "deleteBelow",
    summary: "Deletes all keys below a path, so many at a time",
    description: "With an idempotency key in one entry of the log: all or, where too many, none.",
    parameters: [folderInPath, once],
    responses: { 200: answer("Done.", ref("Deleted")), ...refusals(mismatch) },
  },
};

const watching: Described = {
  operationId: "watch",
  summary: "Changes as they come, each once and in order",
  description:
    "Server-sent events whose id is the revision, so that an EventSource resumes by itself, or, " +
    "with `Accept: application/x-ndjson`, one a line. Word that nothing happened comes every five " +
    "seconds. Where no leader is known, `Accept: text/event-stream` is answered by a stream that " +
    "ends at once: an EventSource comes back after it, and not after a 503.",
  parameters: [
    query("key", text, "Of this key alone."),
    ...selection,
    query("since", index, "What happened behind this revision; without it, from now on."),
    query("prev", flag, "With what was there before."),
    header("Last-Event-ID", "As `since`, and before it."),
  ],
  responses: {
    200: {
      description: "Goes on until the client ends it, falls behind, or the node stops.",
      content: {
        "text/event-stream": { schema: text },
        "application/x-ndjson": { schema: ref("Change") },
      },
    },
    ...refusals([410, "That history is gone; `oldestRevision` is where it can go on."]),
  },
};

const memberId = inPath("id", { type: "integer", minimum: 1 }, "The id of a member.");
const basedOn = {
  ...header("If-Match", "The ETag of the members that the change is based on, or `*`."),
  required: true,
};
const members = answer("The members now.", ref("Members"), { ETag: etagHeader });
const changing = refusals(
  [
    400,
    "A field is wrong, or there is an `Idempotency-Key`: `If-Match` lets a change happen once.",
  ],
  [409, "It cannot be done as things stand."],
  [412, "The members have changed meanwhile."],
  mediaType,
  [428, "`If-Match` is missing."],
);

const keyless = [
  400,
  "A field is wrong, or there is an `Idempotency-Key`, which has no use here.",
] as const;

const clusterPaths: Paths = {
  "/v1/status": {
    get: {
      operationId: "status",
      summary: "What this node knows of itself and the cluster",
      responses: { 200: answer("Limits in force included.", ref("Status")), ...refusals() },
    },
  },
  "/v1/members": {
    get: {
      operationId: "members",
      summary: "The members",
      responses: { 200: members, ...refusals() },
    },
    post: {
      operationId: "addMember",
      summary: "Adds a learner",
      parameters: [basedOn],
      requestBody: bodyOf("NewMember"),
      responses: { 201: members, ...changing },
    },
  },
  "/v1/members/{id}": {
    put: {
      operationId: "replaceMember",
      summary: "Replaces a member: a removal, an addition and a promotion",
      parameters: [memberId, basedOn],
      requestBody: bodyOf("Place"),
      responses: { 200: members, ...changing },
    },
    delete: {
      operationId: "removeMember",
      summary: "Removes a member for good",
      parameters: [memberId, basedOn],
      responses: { 200: members, ...changing },
    },
  },
  "/v1/members/{id}/promote": {
    post: {
      operationId: "promoteMember",
      summary: "Gives a learner a vote",
      parameters: [memberId, basedOn],
      responses: { 200: members, ...changing },
    },
  },
  "/v1/transfer": {
    post: {
      operationId: "transfer",
      summary: "Hands over leadership; answered when that node leads",
      requestBody: bodyOf("Transfer"),
      responses: {
        200: answer("It leads.", ref("Transferred")),
        ...refusals(keyless, mediaType),
      },
    },
  },
  "/v1/compact": {
    post: {
      operationId: "compact",
      summary: "This node gives up its log and its history of changes, as far as nobody needs them",
      requestBody: bodyOf("Compact"),
      responses: {
        200: answer("What is left.", ref("Compacted")),
        ...refusals(keyless, mediaType),
      },
    },
  },
  "/v1/backup": {
    get: {
      operationId: "backup",
      summary: "All rows at one instant, as an SQLite file",
      responses: {
        200: { description: "The file.", content: { "application/vnd.sqlite3": anyBytes } },
        ...refusals(),
      },
    },
  },
};

function simple(operationId: string, summary: string, name: string, schema: object) {
  const body = { type: "object", required: [name], properties: { [name]: schema } };
  return {
    get: { operationId, summary, responses: { 200: answer(summary, body), ...refusals() } },
  };
}

export const paths: Paths = {
  "/v1/kv/{key}": Object.fromEntries(
    Object.entries(keyPath).map(([method, described]) => [
      method,
      { ...described, parameters: [keyInPath, ...(described.parameters ?? [])] },
    ]),
  ),
  "/v1/kv/{folder}/:": folderPath,
  "/v1/kv": rangePath,
  "/v1/txn": {
    post: {
      operationId: "transact",
      summary: "Conditions and operations over any keys: all of a side, or nothing",
      parameters: [once],
      requestBody: bodyOf("Transaction"),
      responses: {
        200: answer("Whichever side was done.", ref("TransactionResult"), {
          "X-KV-Revision": revisionHeader,
        }),
        ...refusals([409, "An operation cannot be done on what is there."], mediaType, mismatch),
      },
    },
  },
  "/v1/watch": { get: watching },
  ...leasePaths,
  ...clusterPaths,
  "/livez": simple("live", "Whether the process does its work", "live", { const: true }),
  "/readyz": simple("ready", "Whether it knows a leader; otherwise 503", "ready", { const: true }),
  "/version": simple("version", "The version of the program", "version", text),
  "/metrics": {
    get: {
      operationId: "metrics",
      summary: "Figures for Prometheus",
      responses: {
        200: { description: "Text, version 0.0.4.", content: { "text/plain": { schema: text } } },
        ...refusals(),
      },
    },
  },
  "/openapi.json": {
    get: {
      operationId: "describe",
      summary: "This document",
      responses: { 200: answer("OpenAPI 3.1.", { type: "object" }), ...refusals() },
    },
  },
};

const anyProblem =
  "Any request: 400 bad, 403 from a page of a foreign origin, 405, 414 key too long, 421 foreign " +
  "Host, 429 and 503 (not applied) with `Retry-After`, 500, 501, 504 (a write's outcome is unknown).";

/** They are made, or go on, while they are answered: a head alone would tell nothing. */
const headless: ReadonlySet<string> = new Set(["/v1/backup", "/v1/watch"]);

/** HEAD is answered as GET is, without the body. */
function withHead(path: string, item: PathItem): PathItem {
  const { get } = item;
  if (get === undefined || headless.has(path)) return item;
  const responses = Object.entries(get.responses).map(([status, response]) => {
    const { content: _, ...rest } = response as { readonly content?: object };
    return [status, rest] as const;
  });
  const head: Described = {
    ...get,
    operationId: `${get.operationId}Head`,
    summary: `${get.summary}: the headers alone`,
    responses: Object.fromEntries(responses),
  };
  return { ...item, head };
}

const served: Paths = Object.fromEntries(
  Object.entries(paths).map(([path, item]) => [path, withHead(path, item)]),
);

export function openApi(version: string): object {
  const description =
    "A strongly consistent, replicated key-value store. Every node answers; a follower asks the " +
    "leader by itself. Revisions are indexes of the log.";
  return {
    openapi: "3.1.0",
    info: { title: "kv", version, description, license: { name: "MIT", identifier: "MIT" } },
    servers: [{ url: "/" }],
    paths: served,
    components: {
      schemas,
      responses: { Problem: { description: anyProblem, content: problemBody } },
    },
  };
}
