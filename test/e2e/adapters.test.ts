/** What other packages ask of a store, asked by those packages themselves. */

import { join } from "node:path";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { createStorage } from "unstorage";
import httpDriver from "unstorage/drivers/http";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { secondaryStorage } from "../../client/adapters/better-auth.ts";
import { connect } from "../../client/client.ts";
import { serve, type TestServer } from "../server/raw-http.ts";
import { root } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { scenario, type Scope } from "./scope.ts";

/** Vitest's own start takes the most of it. */
const suiteMs = 30_000;
/** In the version that is installed. */
const suiteTestsMin = 40;

async function served(scope: Scope): Promise<TestServer & { readonly endpoint: string }> {
  const server = await serve();
  scope.onEnd(() => server.listener.close(0));
  return { ...server, endpoint: `127.0.0.1:${server.port}` };
}

scenario("Keyv's own suite passes over the adapter", async (scope) => {
  const { endpoint, store } = await served(scope);
  const directory = join(root, "test/e2e/adapters");
  const child = new KvProcess(scope, {
    name: "Keyv's suite",
    command: [
      join(root, "node_modules/.bin/node"),
      join(directory, "run-vitest.ts"),
      join(directory, "keyv-suite.ts"),
    ],
    directory: root,
    environment: { KV_ENDPOINT: endpoint, KV_CACHE: scope.temporaryDirectory() },
  });
  const { code } = await child.endsWithin(suiteMs);
  const counts = JSON.parse(child.stdout.trimEnd().split("\n").at(-1) ?? "") as {
    readonly passed: number;
  };
  assert.equal(
    { ...counts, code },
    { passed: counts.passed, failed: 0, skipped: 0, errors: 0, code: 0 },
  );
  assert.ok(counts.passed >= suiteTestsMin, `${counts.passed} tests`);
  assert.ok(store.writes > counts.passed, "the store was asked");
  console.log(`Keyv's suite: ${counts.passed} passed`);
});

scenario("unstorage's HTTP driver needs no adapter", async (scope) => {
  const { endpoint, store } = await served(scope);
  const driver = httpDriver({ base: `http://${endpoint}/v1/kv` });
  const storage = createStorage({ driver });
  await storage.setItem("user:ada", { age: 36 });
  await storage.setItem("user:bob:home", "London");
  await storage.setItemRaw("picture", Buffer.from([0, 255, 7]));
  // Its keys have colons, which become slashes here.
  assert.equal([...store.rows.keys()].sort(), ["picture", "user/ada", "user/bob/home"]);
  assert.equal(await storage.getItem("user:ada"), { age: 36 });
  assert.is(await storage.getItem("user:bob:home"), "London");
  assert.is(await storage.getItem("nobody"), null);
  const raw: unknown = await storage.getItemRaw("picture");
  assert.equal([...new Uint8Array(raw as ArrayBuffer)], [0, 255, 7]);
  assert.equal([await storage.hasItem("picture"), await storage.hasItem("x")], [true, false]);
  assert.equal((await storage.getKeys()).sort(), ["picture", "user:ada", "user:bob:home"]);
  assert.equal((await storage.getKeys("user")).sort(), ["user:ada", "user:bob:home"]);
  await storage.setItem("soon", "gone", { ttl: 90 });
  assert.is((await storage.getMeta("soon")).ttl, 90);
  await storage.removeItem("user:ada");
  // A storage clears all of a driver, or nothing; the driver knows parts.
  await driver.clear?.("user:", {});
  assert.equal((await storage.getKeys()).sort(), ["picture", "soon"]);
  await storage.clear();
  assert.is(store.rows.size, 0);
});

scenario("Better Auth keeps sessions and rate limits in it", async (scope) => {
  const { endpoint, store } = await served(scope);
  using kv = connect(endpoint);
  const users = { user: [], session: [], account: [], verification: [] };
  const auth = betterAuth({
    baseURL: "http://localhost:3000",
    secret: "a secret of more than thirty-two characters",
    database: memoryAdapter(users),
    secondaryStorage: secondaryStorage(kv),
    emailAndPassword: { enabled: true },
    rateLimit: { enabled: true, storage: "secondary-storage", window: 60, max: 2 },
    telemetry: { enabled: false },
  });
  const person = { email: "ada@example.com", password: "a long password", name: "Ada" };
  const { headers } = await auth.api.signUpEmail({ body: person, returnHeaders: true });
  const cookie = headers
    .getSetCookie()
    .map((each) => each.split(";")[0])
    .join("; ");
  const request = { headers: new Headers({ cookie }) };
  assert.is((await auth.api.getSession(request))?.user.name, "Ada");
  const keys = [...store.rows.values()];
  assert.ok(keys.every(({ key }) => key.startsWith("better-auth/")));
  assert.ok(keys.some(({ value }) => Buffer.from(value).includes("ada@example.com")));
  assert.ok(keys.some(({ expiresMs }) => expiresMs !== undefined));
  await auth.api.signOut(request);
  assert.is(await auth.api.getSession(request), null);

  const statuses: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    const from = { "x-forwarded-for": "203.0.113.7" };
    const asked = new Request("http://localhost:3000/api/auth/ok", { headers: from });
    statuses.push((await auth.handler(asked)).status);
  }
  assert.equal(statuses, [200, 200, 429, 429]);
});

test.run();
