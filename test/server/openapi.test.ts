/** The document that describes the routes says what they do, no less and no more. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { failureCodes } from "../../server/problem.ts";
import { client } from "./asker.ts";
import { MapStore } from "./map-store.ts";
import { appOf } from "./raw-http.ts";

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: { readonly minimum?: number };
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> };
  readonly responses: Readonly<Record<string, { readonly headers?: object }>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, { properties?: object }>> };
}

const methods = ["get", "head", "put", "post", "delete", "patch"];
/** Every name that some route takes or may come to take; each is tried on all of them. */
const wireNames =
  "prefix start end limit cursor reverse keys count delimiter level op by value min max ttl lease " +
  "min_revision max_stale wait after timeout since prev";

async function documentOf(): Promise<Document> {
  const { status, json, headers } = await client().ask("GET", "/openapi.json");
  assert.is(status, 200);
  assert.is(headers.get("content-type"), "application/json");
  return json as unknown as Document;
}

/** A path that the template stands for. */
const exampleOf = (template: string): string =>
  template.replace("{key}", "a/b").replace("{folder}", "a/b").replace("{id}", "2");

const isServed = (status: number, json: Readonly<Record<string, unknown>>): boolean =>
  status !== 405 && json["detail"] !== "there is nothing here";

test("every method of every path in the document is served, and no other", async () => {
  const { paths } = await documentOf();
  for (const [template, item] of Object.entries(paths)) {
    for (const method of methods) {
      const { status, json, headers } = await client().ask(
        method.toUpperCase(),
        exampleOf(template),
      );
      const what = `${method} ${template}: ${status}`;
      assert.is(isServed(status, json), method in item, what);
      if (status !== 405) continue;
      const allowed = (headers.get("allow") ?? "").toLowerCase().split(", ");
      assert.equal(allowed.sort(), Object.keys(item).sort(), `Allow of ${what}`);
    }
  }
});

test("every route that is served is in the document", async () => {
  const { paths } = await documentOf();
  const examples = Object.keys(paths).map(exampleOf);
  const routes = new Set(appOf(new MapStore()).routes.map(({ path }) => path));
  assert.ok(routes.has("/v1/txn"));
  for (const route of routes) {
    const stem = route.replace(/\*$/, "");
    const isDescribed = (path: string): boolean =>
      route.endsWith("*") ? path.startsWith(stem) && path !== stem : path === route;
    assert.ok(examples.some(isDescribed), `${route} is described by none of ${examples.join(" ")}`);
  }
});

test("each operation takes the query parameters that it names, and no others", async () => {
  const { paths } = await documentOf();
  const operations = Object.entries(paths).flatMap(([template, item]) =>
    Object.entries(item).map(([method, operation]) => ({ template, method, operation })),
  );
  const inQuery = ({ parameters = [] }: Operation): string[] =>
    parameters.filter((each) => each.in === "query").map(({ name }) => name);
  const names = new Set([
    ...wireNames.split(" "),
    ...operations.flatMap((each) => inQuery(each.operation)),
  ]);
  for (const { template, method, operation } of operations) {
    const own = inQuery(operation);
    // It is the GET, and tells nothing.
    if (method === "head") continue;
    // What is not read is not looked at: these routes are asked without a query.
    if (own.length === 0 && !["get", "put", "delete"].includes(operation.operationId)) continue;
    for (const name of names) {
      const isTaken = await takes(method, exampleOf(template), name, own.includes("op"));
      assert.is(isTaken, own.includes(name), `${method} ${template}?${name}`);
    }
  }
});

test("what is below the least that the document names is refused", async () => {
  const { paths } = await documentOf();
  const minimums = new Set<string>();
  for (const [template, item] of Object.entries(paths)) {
    for (const [method, { parameters = [] }] of Object.entries(item)) {
      for (const { name, in: place, schema } of parameters) {
        const isOne = ["lease", "X-Lease", "token", "limit"].includes(name);
        if (!isOne || method === "head" || schema.minimum === undefined) continue;
        minimums.add(name);
        const least = schema.minimum;
        for (const value of [least - 1, least]) {
          const path = exampleOf(template).replace("{name}", "n");
          const inHeader = { "content-type": "application/json", [name]: String(value) };
          const isProclaiming = method === "put" && template === "/v1/elections/{name}";
          const more = {
            headers: place === "header" ? inHeader : { "content-type": "application/json" },
            ...(method === "get" ? {} : { body: isProclaiming ? "{}" : "" }),
          };
          const query = place === "query" ? `?prefix=a&${name}=${value}` : "";
          const plain = template === "/v1/kv" ? query : query.replace("prefix=a&", "");
          const { status, json } = await client().ask(method.toUpperCase(), path + plain, more);
          const isRefused = status === 400 && json["field"] === name.toLowerCase();
          assert.is(isRefused, value < least, `${method} ${path}${plain}: ${status}`);
        }
      }
    }
  }
  assert.is(minimums.size, 4);
});

/** Whether the route knows the parameter and executes it; with `op`, whether one of them does. */
async function takes(method: string, path: string, name: string, byOp: boolean): Promise<boolean> {
  const queries = byOp
    ? ["incr", "max", "append", "touch"].map(
        (op) => `?op=${op}${name === "op" ? "" : `&${name}=1`}`,
      )
    : [`?${name}=1`];
  for (const query of queries) {
    const { status, json } = await client().ask(method.toUpperCase(), path + query);
    const isUnknown = String(json["detail"]).startsWith("there is no parameter");
    if (!isUnknown && status !== 501) return true;
  }
  return false;
}

test("a page of an allowed origin may send every header in the document, and read every other", async () => {
  const operations = Object.values((await documentOf()).paths).flatMap((item) =>
    Object.values(item),
  );
  const headers = { origin: "https://friend.example", "access-control-request-method": "PUT" };
  const { ask } = client();
  const listIn = async (method: string, name: string): Promise<string[]> =>
    ((await ask(method, "/v1/kv/k", { headers })).headers.get(name) ?? "").split(", ");
  const sent = operations.flatMap(({ parameters = [] }) =>
    parameters.filter((each) => each.in === "header").map(({ name }) => name),
  );
  const told = operations.flatMap(({ responses }) =>
    Object.values(responses).flatMap((response) => Object.keys(response.headers ?? {})),
  );
  assert.ok(sent.includes("X-Lease") && told.includes("X-KV-Age"));
  const allowed = await listIn("OPTIONS", "access-control-allow-headers");
  const exposed = await listIn("GET", "access-control-expose-headers");
  for (const name of sent) assert.ok(allowed.includes(name), `${name} may be sent`);
  for (const name of told) assert.ok(exposed.includes(name), `${name} may be read`);
});

/** What each operation that changes something is asked with, so that its headers are looked at. */
const changing = [
  ["put", "/v1/kv/{key}", ""],
  ["delete", "/v1/kv/{key}", ""],
  ["post", "/v1/kv/{key}", "?op=incr"],
  ["delete", "/v1/kv", "?prefix=a"],
  ["delete", "/v1/kv/{folder}/:", ""],
  ["post", "/v1/txn", ""],
] as const;

test("the headers of what changes something are those that are looked at", async () => {
  const { paths } = await documentOf();
  const wrong = { "Idempotency-Key": ["\u00e9", "ASCII"], "X-TTL": ["never", "duration"] } as const;
  for (const [method, template, query] of changing) {
    const { parameters = [] } = paths[template]?.[method] ?? {};
    for (const [name, [value, complaint]] of Object.entries(wrong)) {
      const headers = { [name]: value, "Content-Type": "application/json" };
      const options = { headers, body: template === "/v1/txn" ? "{}" : "" };
      const { json } = await client().ask(
        method.toUpperCase(),
        exampleOf(template) + query,
        options,
      );
      const isNamed = parameters.some((each) => each.in === "header" && each.name === name);
      const isLookedAt = String(json["detail"]).includes(complaint);
      assert.is(isLookedAt, isNamed, `${method} ${template} ${name}: ${String(json["detail"])}`);
    }
  }
});

test("every reference leads somewhere, and every schema is used", async () => {
  const document = await documentOf();
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
    (match) => match[1] ?? "",
  );
  assert.ok(references.length > 10);
  for (const reference of references) {
    let at: unknown = document;
    for (const step of reference.split("/")) at = (at as Record<string, unknown>)[step];
    assert.type(at, "object", reference);
  }
  const used = new Set(references.map((reference) => reference.split("/").at(-1)));
  const unused = Object.keys(document.components.schemas).filter((name) => !used.has(name));
  assert.equal(unused, []);
});

test("operations have names of their own, answers, and their path's parameters", async () => {
  const { openapi, info, paths } = await documentOf();
  assert.is(openapi, "3.1.0");
  assert.is(info.version, "1.2.3");
  const ids: string[] = [];
  for (const [template, item] of Object.entries(paths)) {
    for (const { operationId, parameters = [], responses } of Object.values(item)) {
      ids.push(operationId);
      assert.ok("default" in responses, `${operationId} can fail`);
      const named = [...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const given = parameters.filter((each) => each.in === "path").map(({ name }) => name);
      assert.equal(given, named, operationId);
    }
  }
  assert.is(new Set(ids).size, ids.length);
});

test("what the routes answer has the fields that the document names", async () => {
  const { components } = await documentOf();
  const { ask } = client();
  const fields = (name: string): string[] =>
    Object.keys(components.schemas[name]?.properties ?? {});
  const asked = [
    ["PUT", "/v1/kv/k", "Written"],
    ["POST", "/v1/kv/n?op=incr", "Changed"],
    ["GET", "/v1/kv?prefix=k&delimiter=/", "Listing"],
    ["GET", "/v1/kv?count", "Count"],
    ["GET", "/v1/members", "Members"],
    ["DELETE", "/v1/kv/k", "Deleted"],
    ["DELETE", "/v1/kv?prefix=n", "Deleted"],
    ["GET", "/v1/kv/gone", "Problem"],
    ["PUT", "/v1/kv/k?nothing=1", "Problem"],
  ] as const;
  for (const [method, path, name] of asked) {
    const { json } = await ask(method, path);
    const odd = Object.keys(json).filter((field) => !fields(name).includes(field));
    assert.equal(odd, [], `${method} ${path}`);
    assert.ok(Object.keys(json).length > 0, `${method} ${path}`);
  }
});

test("the codes of problems are those in the document", async () => {
  const { components } = await documentOf();
  const properties = components.schemas["Problem"]?.properties as
    | { readonly code: { readonly enum: readonly string[] } }
    | undefined;
  assert.equal(properties?.code.enum, failureCodes);
  assert.ok(failureCodes.includes("no_leader"));
});

test.run();
