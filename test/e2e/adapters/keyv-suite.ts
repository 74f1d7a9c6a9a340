/** Keyv's own tests of storage adapters, which Vitest runs: over HTTP, against `KV_ENDPOINT`. */

import keyvTestSuite, { keyvIteratorTests } from "@keyv/test-suite";
import { Keyv } from "keyv";
import * as vitest from "vitest";
import { connect } from "../../../client/client.ts";
import { keyvStore } from "../../../client/adapters/keyv.ts";

const kv = connect(process.env["KV_ENDPOINT"] ?? "");
const store = () => keyvStore(kv);

keyvTestSuite(vitest, Keyv, store);
keyvIteratorTests(vitest, Keyv, store);

vitest.it("what Keyv does not make a text of comes back as it was", async () => {
  const keyv = new Keyv({ store: store() });
  keyv.serialize = undefined;
  keyv.deserialize = undefined;
  await keyv.set("plain", { a: [1, "b"] });
  vitest.expect(await keyv.get("plain")).toEqual({ a: [1, "b"] });
});
