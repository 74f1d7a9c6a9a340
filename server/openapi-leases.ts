/** Leases, locks and elections, as OpenAPI describes them. */

import {
  answer,
  bodyOf,
  inPath,
  mediaType,
  mismatch,
  once,
  query,
  refusals,
  revisionHeader,
  type Described,
  type Paths,
} from "./openapi-parts.ts";
import { flag, positive, ref, text } from "./openapi-schemas.ts";
import { queueNameBytesMax } from "./state-machine/hidden-rows.ts";

const leaseId = inPath("id", { type: "integer", minimum: 1 }, "The id of a lease.");
const leaseGone = [404, "The lease has expired or was revoked, or never was."] as const;
const written = { "X-KV-Revision": revisionHeader };
const read = { ...written, "X-KV-Level": { schema: { const: "linearizable" } } };

const name = inPath(
  "name",
  { type: "string", minLength: 1, maxLength: queueNameBytesMax },
  "All of the rest of the path, slashes too, percent-decoded once.",
);
const token = { ...query("token", positive, "What was given on entering."), required: true };
const notHolder = [409, "The token is not the one that holds it."] as const;
const inFront = [409, "Others are in front, and were for as long as `wait` says."] as const;

function entering(operationId: string, summary: string, body: string): Described {
  return {
    operationId,
    summary,
    description:
      "First come, first served. Without a `lease` one is granted for `ttl`, kept alive while it " +
      "waits, and ended with it. A waiter whose connection closes is passed over.",
    parameters: [name, once],
    requestBody: bodyOf(body),
    responses: {
      200: answer("It is yours, until you leave or the lease ends.", ref("Held"), written),
      ...refusals(leaseGone, inFront, mediaType, mismatch),
    },
  };
}

function leaving(operationId: string, summary: string): Described {
  return {
    operationId,
    summary,
    parameters: [name, token, once],
    responses: {
      200: answer("Whoever is next has it now.", ref("Released"), written),
      ...refusals(notHolder, mismatch),
    },
  };
}

export const leasePaths: Paths = {
  "/v1/leases": {
    post: {
      operationId: "grantLease",
      summary: "A time that many keys share; put keys with `?lease=`",
      parameters: [once],
      requestBody: bodyOf("NewLease"),
      responses: {
        201: answer("Granted.", ref("Lease"), written),
        ...refusals(mediaType, mismatch),
      },
    },
  },
  "/v1/leases/{id}": {
    get: {
      operationId: "lease",
      summary: "How long it has",
      parameters: [leaseId],
      responses: { 200: answer("It lives.", ref("LeaseLeft"), read), ...refusals(leaseGone) },
    },
    delete: {
      operationId: "revokeLease",
      summary: "Ends it and deletes its keys",
      parameters: [leaseId, once],
      responses: {
        200: answer("Done.", ref("Deleted"), written),
        ...refusals(leaseGone, mismatch),
      },
    },
  },
  "/v1/leases/{id}/keepalive": {
    post: {
      operationId: "keepLease",
      summary: "Gives it all of its time again",
      parameters: [leaseId, once],
      responses: {
        200: answer("It has all of its time again.", ref("Lease"), written),
        ...refusals(leaseGone, mismatch),
      },
    },
  },
  "/v1/locks/{name}": {
    get: {
      operationId: "lock",
      summary: "Who holds it, and how many wait",
      parameters: [name],
      responses: { 200: answer("As it stands.", ref("Lock"), read), ...refusals() },
    },
    post: entering("acquireLock", "Takes the lock, or waits for it", "Acquire"),
    delete: leaving("releaseLock", "Gives the lock back"),
  },
  "/v1/elections/{name}": {
    get: {
      operationId: "leader",
      summary: "Who leads",
      description:
        "With `watch`, server-sent events or, with `Accept: application/x-ndjson`, lines: who leads " +
        "now, and everyone who comes to lead.",
      parameters: [name, query("watch", flag, "Goes on with whoever comes to lead.")],
      responses: {
        200: {
          description: "As it stands, and with `watch` what comes of it.",
          headers: read,
          content: {
            "application/json": { schema: ref("Leader") },
            "text/event-stream": { schema: text },
            "application/x-ndjson": { schema: ref("Leader") },
          },
        },
        ...refusals(),
      },
    },
    post: entering("campaign", "Stands for election, and is answered on winning it", "Campaign"),
    put: {
      operationId: "proclaim",
      summary: "Changes the value of the leader",
      parameters: [name, token, once],
      requestBody: bodyOf("NewValue"),
      responses: {
        200: answer("Changed.", ref("Proclaimed"), written),
        ...refusals(notHolder, mediaType, mismatch),
      },
    },
    delete: leaving("resign", "Steps down"),
  },
};
