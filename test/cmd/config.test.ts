/** What a node and a command are started with: everything is checked before anything happens. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../cmd/arguments.ts";
import { parseEndpoints } from "../../cmd/client-commands.ts";
import { nodeConfig, type NodeConfig, type NodeFlagValues } from "../../cmd/config.ts";

function config(flags: NodeFlagValues, environment: Record<string, string> = {}): NodeConfig {
  return nodeConfig({ nodeid: "1", ...flags }, { prompt: false, bootstrap: false, environment });
}

function assertRefused(run: () => unknown, names: string): void {
  assert.throws(
    run,
    (error: unknown) => error instanceof UsageError && error.message.includes(names),
    names,
  );
}

test("limits that concern a node alone can be set, and those alone", () => {
  const { limits, httpLimits } = config({ limits: "watchersMax=5, httpConnectionsMax=99" });
  assert.is(limits.watchersMax, 5);
  assert.is(httpLimits.connectionsMax, 99);
  assert.is(config({}, { KV_LIMITS: "watchProgressMs=100" }).limits.watchProgressMs, 100);
  const wrong = [
    "watchersMax",
    "watchersMax=",
    "watchersMax=0",
    "watchersMax=1e3",
    "watchersMax=-1",
  ];
  const unknown = ["operationsMax=5", "heartbeatMs=1", "toString=1", "__proto__=1", "", ","];
  for (const text of [...wrong, ...unknown, "watchersMax=5,watchersMax=6"]) {
    assertRefused(() => config({ limits: text }), "--limits");
  }
});

test("allowed hosts are names, with a port or without", () => {
  const given = "KV.example.org, other:8001,::1,[fe80::1]:80,10.0.0.1";
  const { allowedHosts } = config({ "allowed-hosts": given });
  const expected = ["kv.example.org", "other:8001", "[::1]", "[fe80::1]:80", "10.0.0.1"];
  assert.equal(allowedHosts, expected);
});

test("allowed hosts that no Host header can name are refused", () => {
  for (const text of ["http://a", "a/b", "*", "*.example.org", "a b", "a,,b", ",", "a:b", "[x]"]) {
    assertRefused(() => config({ "allowed-hosts": text }), "--allowed-hosts: ");
  }
});

test("allowed origins are as browsers write them", () => {
  const given = "https://App.example.org:443,http://localhost:3000,chrome-extension://abcdef";
  const { allowedOrigins } = config({ "allowed-origins": given });
  const extension = "chrome-extension://abcdef";
  assert.equal(allowedOrigins, ["https://app.example.org", "http://localhost:3000", extension]);
});

test("allowed origins that no browser sends are refused", () => {
  const wrong = [
    "*",
    "example.org",
    "https://a/",
    "https://a/b",
    "https://u@a",
    "https://a?q",
    "a b",
  ];
  for (const text of [...wrong, "https://", "null", ","]) {
    assertRefused(() => config({ "allowed-origins": text }), "--allowed-origins: ");
  }
});

test("a setting that is empty is named with what it takes, and no help text", () => {
  assertRefused(() => config({ "data-dir": "" }), "--data-dir is empty; give it a value");
  assertRefused(() => config({}, { KV_HTTP: "" }), "KV_HTTP is empty; give it a value (--http");
});

test("endpoints are hosts and ports", () => {
  const given = "127.0.0.1:8001, http://localhost:8002/,[::1]:8003";
  const expected = ["http://127.0.0.1:8001", "http://localhost:8002", "http://[::1]:8003"];
  assert.equal(parseEndpoints(given, "--endpoints"), expected);
});

test("endpoints with a path, a query or credentials are refused", () => {
  const wrong = [
    "a:1/b",
    "http://a:1/v1",
    "http://a:1?x",
    "http://u:p@a:1",
    "u@a:1",
    "https://a:1",
  ];
  for (const text of [...wrong, "a", "a:0", "a:1,", "", "a:1#x", "a%2e:1", "http://a"]) {
    assertRefused(() => parseEndpoints(text, "KV_ENDPOINTS"), "KV_ENDPOINTS: ");
  }
});

test.run();
