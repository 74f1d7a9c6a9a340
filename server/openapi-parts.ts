/** What the descriptions of routes are made of. */

import { index, ref, text } from "./openapi-schemas.ts";
import { requestKeyBytesMax } from "./state-machine/command.ts";

export type Method = "get" | "head" | "put" | "post" | "delete";

export interface Parameter {
  readonly name: string;
  readonly in: "query" | "header" | "path";
  readonly required?: boolean;
  readonly description: string;
  readonly schema: object;
}

export interface Described {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, object>>;
}

export type PathItem = Readonly<Partial<Record<Method, Described>>>;

export type Paths = Readonly<Record<string, PathItem>>;

export const query = (name: string, schema: object, description: string): Parameter => ({
  name,
  in: "query",
  description,
  schema,
});

export const header = (name: string, description: string, schema: object = text): Parameter => ({
  name,
  in: "header",
  description,
  schema,
});

export const inPath = (name: string, schema: object, description: string): Parameter => ({
  name,
  in: "path",
  required: true,
  description,
  schema,
});

export const problemBody = { "application/problem+json": { schema: ref("Problem") } };

/** Besides those that any request may meet, which are the default. */
export function refusals(...descriptions: readonly (readonly [status: number, text: string])[]) {
  const own = descriptions.map(([status, description]) => [
    String(status),
    { description, content: problemBody },
  ]);
  return {
    ...(Object.fromEntries(own) as Record<string, object>),
    default: { $ref: "#/components/responses/Problem" },
  };
}

export const answer = (description: string, schema: object, headers: object = {}) => ({
  description,
  headers,
  content: { "application/json": { schema } },
});

export const bodyOf = (name: string) => ({
  required: true,
  content: { "application/json": { schema: ref(name) } },
});

export const once = header(
  "Idempotency-Key",
  "Whoever sends the same request under the same key again hears the same answer, and nothing more is done.",
  { type: "string", pattern: "^[ -~]+$", minLength: 1, maxLength: requestKeyBytesMax },
);
export const revisionHeader = { schema: index, description: "Of the row or the write." };
export const mismatch = [
  422,
  "The idempotency key stands for another request, or for an old one.",
] as const;
export const mediaType = [415, "The body is not `application/json`."] as const;
