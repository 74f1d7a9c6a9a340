/** Three processes form a cluster, and every one of them answers over HTTP as the contract says. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode } from "./cluster.ts";
import { root } from "./executable.ts";
import { RawConnection } from "./http.ts";
import { assertProblem } from "./problem.ts";
import { scenario, shared } from "./scope.ts";
import { until } from "./wait.ts";

const cluster = shared((scope) => Cluster.start(scope));

/** Runs the same assertions on the leader and on every follower. */
async function onEveryNode(run: (node: ClusterNode) => Promise<void>): Promise<void> {
  for (const node of cluster().nodes) await run(node);
}

scenario("three processes form one cluster with one leader", async () => {
  const leader = await cluster().whole();
  const states = await Promise.all(cluster().nodes.map((node) => node.status()));
  const roles = states.map(({ role }) => role).sort();
  assert.equal(roles, ["follower", "follower", "leader"]);
  assert.equal(new Set(states.map(({ clusterId }) => clusterId)).size, 1);
  assert.type(states[0]?.clusterId, "string");
  for (const state of states) assert.is(state.leaderId, leader.id);
});

scenario("a put is answered with 201, then with 200 and a greater revision", async () => {
  await onEveryNode(async (node) => {
    const created = await node.put(`twice-${node.id}`, "one");
    assert.is(created.status, 201, created.text);
    const first = created.json();
    assert.equal(Object.keys(first).sort(), ["key", "revision"]);
    assert.is(first["key"], `twice-${node.id}`);
    assert.ok(Number.isSafeInteger(first["revision"]));
    assert.is(created.headers.etag, `"${String(first["revision"])}"`);
    assert.is(created.headers["x-kv-revision"], String(first["revision"]));
    const replaced = await node.put(`twice-${node.id}`, "two");
    assert.is(replaced.status, 200, replaced.text);
    assert.ok(Number(replaced.json()["revision"]) > Number(first["revision"]));
  });
});

scenario("what one node acknowledged, every node gives at once", async () => {
  for (const writer of cluster().nodes) {
    for (let turn = 0; turn < 20; turn++) {
      const revision = await writer.mustPut("moving", `${writer.id}.${turn}`);
      await onEveryNode(async (node) => {
        const answer = await node.get("moving");
        assert.is(answer.status, 200, answer.text);
        assert.is(answer.text, `${writer.id}.${turn}`);
        assert.is(answer.headers.etag, `"${revision}"`);
        assert.is(answer.headers["x-kv-revision"], String(revision));
        assert.is(answer.headers["x-kv-level"], "linearizable");
      });
    }
  }
});

scenario("a content type is kept, and is octet-stream where none was given", async () => {
  await cluster().node(1).put("plain", "x");
  await cluster()
    .node(2)
    .put("typed", "{}", { headers: { "Content-Type": "application/json; charset=utf-8" } });
  await onEveryNode(async (node) => {
    assert.is((await node.get("plain")).headers["content-type"], "application/octet-stream");
    const typed = await node.get("typed");
    assert.is(typed.headers["content-type"], "application/json; charset=utf-8");
  });
  await cluster().node(3).put("typed", "x");
  const untyped = await cluster().node(1).get("typed");
  assert.is(untyped.headers["content-type"], "application/octet-stream");
});

scenario("curl's form content type is stored like any other", async () => {
  const type = "application/x-www-form-urlencoded";
  const answer = await cluster()
    .node(2)
    .put("greeting", "hello", { headers: { "Content-Type": type, Accept: "*/*" } });
  assert.is(answer.status, 201, answer.text);
  const read = await cluster().node(3).get("greeting");
  assert.is(read.text, "hello");
  assert.is(read.headers["content-type"], type);
});

scenario("every byte and the empty value come back as they were", async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, offset) => offset);
  await cluster().node(1).mustPut("bytes", bytes);
  await cluster().node(1).mustPut("empty", "");
  await onEveryNode(async (node) => {
    assert.equal([...(await node.get("bytes")).body], [...bytes]);
    const empty = await node.get("empty");
    assert.is(empty.status, 200);
    assert.is(empty.body.length, 0);
  });
});

scenario("a body without a declared length is stored whole", async (scope) => {
  const { httpPort } = cluster().node(1);
  const connection = await RawConnection.open(scope, httpPort);
  const head = `PUT /v1/kv/chunked HTTP/1.1\r\nHost: 127.0.0.1:${httpPort}\r\n`;
  connection.write(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
  connection.write("4\r\ndefg\r\n0\r\n\r\n");
  await until("an answer", 5_000, () => connection.received.startsWith("HTTP/1.1 201"));
  assert.is((await cluster().node(2).get("chunked")).text, "abcdefg");
});

scenario("HEAD says what GET says, without the bytes", async () => {
  await cluster().node(1).mustPut("headed", "12345");
  await onEveryNode(async (node) => {
    const get = await node.get("headed");
    const head = await node.ask("HEAD", "/v1/kv/headed");
    assert.is(head.status, 200);
    assert.is(head.body.length, 0);
    for (const name of ["etag", "x-kv-revision", "content-type", "content-length"]) {
      assert.is(head.headers[name], get.headers[name], name);
    }
    assert.is(head.headers["content-length"], "5");
    const missing = await node.ask("HEAD", "/v1/kv/never-headed");
    assert.is(missing.status, 404);
    assert.is(missing.body.length, 0);
  });
});

scenario("a deleted key is gone on every node, and deleting it again deletes nothing", async () => {
  await onEveryNode(async (node) => {
    const revision = await node.mustPut("doomed", "x");
    const first = await node.ask("DELETE", "/v1/kv/doomed");
    assert.is(first.status, 200, first.text);
    assert.is(first.json()["deleted"], 1);
    assert.ok(Number(first.json()["revision"]) > revision);
    const second = await node.ask("DELETE", "/v1/kv/doomed");
    assert.is(second.status, 200, second.text);
    assert.is(second.json()["deleted"], 0);
    for (const other of cluster().nodes) {
      assertProblem(await other.get("doomed"), { status: 404, code: "not_found" });
    }
  });
});

scenario("a path is decoded once and names its key exactly", async () => {
  const node = cluster().node(1);
  const same = async (put: string, ...gets: string[]): Promise<void> => {
    const written = await node.ask("PUT", `/v1/kv/${put}`, { body: put });
    assert.ok(written.status === 201, `PUT ${put}: ${written.status} ${written.text}`);
    for (const get of gets) {
      const read = await cluster().node(2).ask("GET", `/v1/kv/${get}`);
      assert.is(read.text, put, `GET ${get}`);
    }
  };
  await same("a/b%20c", "a%2Fb%20c", "a%2fb%20c", "%61/b%20c");
  await same("plus+plus", "plus%2Bplus");
  await same("100%2525", "100%2525");
  await same("//two", "%2F%2Ftwo", "/%2Ftwo");
  await same("tail/", "tail%2F");
  await same("%C3%A4%F0%9F%98%80", "%c3%a4%f0%9f%98%80");
  await same("query%3Fmark%23hash", "query%3fmark%23hash");
  await same("colon%3A", "colon%3a");
  const written = await node.ask("PUT", "/v1/kv/told/as%20text", { body: "x" });
  assert.is(written.json()["key"], "told/as text");
  assert.is((await node.ask("GET", "/v1/kv/plus%20plus")).status, 404);
  assert.is((await node.ask("GET", "/v1/kv/two")).status, 404);
});

scenario("dot segments reach the key or are refused, and are never resolved", async () => {
  const node = cluster().node(1);
  await node.mustPut("dots/b", "untouched");
  for (const path of ["dots/a/../b", "dots/./b", "dots/a/%2e%2e/b", "dots/%2E/b"]) {
    const answer = await node.ask("PUT", `/v1/kv/${path}`, { body: path });
    if (answer.status !== 400) {
      assert.ok([200, 201].includes(answer.status), `${path}: ${answer.text}`);
      assert.is(answer.json()["key"], decodeURIComponent(path));
    }
    assert.is((await node.get("dots/b")).text, "untouched", path);
  }
});

scenario("a local read is answered by the node itself and says how old it may be", async () => {
  const revision = await cluster().node(1).mustPut("local", "x");
  await cluster().assertSameState();
  await onEveryNode(async (node) => {
    const answer = await node.get("local", "local");
    assert.is(answer.text, "x");
    assert.is(answer.headers["x-kv-revision"], String(revision));
    assert.is(answer.headers["x-kv-level"], "local");
    assert.match(String(answer.headers["x-kv-age"]), /^\d+$/);
  });
});

scenario("what a request asks for and is not understood is refused by name", async () => {
  const node = cluster().node(1);
  const level = await node.ask("GET", "/v1/kv/local?level=bogus");
  assertProblem(level, { status: 400, code: "bad_request" });
  assert.match(level.text, /level/);
  const unknown = await node.ask("PUT", "/v1/kv/param?bogus=1", { body: "x" });
  assertProblem(unknown, { status: 400, code: "bad_request", outcome: "not_applied" });
  assert.match(unknown.text, /bogus/);
  assert.is((await node.get("param")).status, 404);
});

scenario("a condition is honoured or refused, but never overlooked", async () => {
  const node = cluster().node(2);
  await node.mustPut("condition", "first");
  const answer = await node.put("condition", "second", { headers: { "If-None-Match": "*" } });
  assert.ok([412, 501].includes(answer.status), `${answer.status} ${answer.text}`);
  assert.is(answer.json()["outcome"], "not_applied");
  assert.is((await node.get("condition")).text, "first");
});

scenario("a method that a path does not take is answered with 405 and those it takes", async () => {
  await onEveryNode(async (node) => {
    const answer = await node.ask("PATCH", "/v1/kv/x", { body: "x" });
    assertProblem(answer, { status: 405, code: "method_not_allowed" });
    for (const method of ["GET", "PUT", "DELETE"]) {
      assert.match(answer.headers.allow ?? "", new RegExp(`\\b${method}\\b`));
    }
  });
});

scenario("a POST on a key without an operation changes nothing", async () => {
  const node = cluster().node(1);
  const answer = await node.ask("POST", "/v1/kv/posted", { body: "x" });
  assertProblem(answer, { status: 400, code: "bad_request", outcome: "not_applied" });
  assert.is((await node.get("posted")).status, 404);
});

scenario("an unknown path is a 404 of the same form", async () => {
  assertProblem(await cluster().node(1).ask("GET", "/nowhere"), {
    status: 404,
    code: "not_found",
  });
});

scenario("a status has every field in its type", async () => {
  const leader = await cluster().leader();
  await onEveryNode(async (node) => {
    const answer = await node.ask("GET", "/v1/status");
    assert.is(answer.status, 200);
    assert.match(answer.headers["content-type"] ?? "", /^application\/json\b/);
    const status = answer.json();
    assert.is(status["nodeId"], node.id);
    assert.type(status["clusterId"], "string");
    assert.ok(["leader", "follower"].includes(String(status["role"])));
    assert.is(status["leaderId"], leader.id);
    const indexes = ["term", "commitIndex", "appliedIndex", "lastLogIndex", "firstLogIndex"];
    for (const name of [...indexes, "snapshotIndex"]) {
      assert.ok(Number.isSafeInteger(status[name]), `${name}: ${String(status[name])}`);
    }
    assert.ok(Number(status["appliedIndex"]) <= Number(status["commitIndex"]));
    assert.ok(Number(status["commitIndex"]) <= Number(status["lastLogIndex"]));
    assert.type(status["stateHash"], "string");
    assert.type(status["version"], "string");
    assert.ok(Number(status["uptimeSeconds"]) >= 0);
    const limits = status["limits"] as Record<string, unknown>;
    const values = Object.values(limits);
    assert.ok(values.includes(2048) && values.includes(1_048_576), "limits of keys and values");
    for (const name of ["httpHeadBytesMax", "httpIdleTimeoutMs", "promptLineBytesMax"]) {
      assert.ok(Number(limits[name]) > 0, name);
    }
  });
});

scenario(
  "the members in a status are those of the cluster, with the leader's view of them",
  async () => {
    const leader = await cluster().leader();
    await onEveryNode(async (node) => {
      const members = (await node.status()).members as unknown as Record<string, unknown>[];
      assert.equal(
        members.map(({ id }) => id),
        [1, 2, 3],
      );
      for (const member of members) {
        const { httpPort, raftPort } = cluster().node(Number(member["id"]));
        assert.is(member["role"], "voter");
        assert.is(member["http"], `127.0.0.1:${httpPort}`);
        assert.is(member["raft"], `127.0.0.1:${raftPort}`);
        if (node === leader && member["id"] !== node.id) {
          assert.ok(Number.isSafeInteger(member["match"]), "the leader knows what a member has");
          assert.is(member["reachable"], true);
        }
      }
    });
  },
);

scenario("replicas at the same index have the same hash, which covers rows only", async () => {
  await cluster().assertSameState();
  const before = (await cluster().node(1).status()).stateHash;
  await cluster().node(1).mustPut("fleeting", "x");
  const between = (await cluster().node(1).status()).stateHash;
  await cluster().node(1).ask("DELETE", "/v1/kv/fleeting");
  await cluster().assertSameState();
  assert.is.not(between, before);
  assert.is((await cluster().node(1).status()).stateHash, before);
});

scenario("those who watch over a node find it live and ready", async () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
  };
  await onEveryNode(async (node) => {
    assert.is((await node.ask("GET", "/livez")).status, 200);
    assert.is((await node.ask("GET", "/readyz")).status, 200);
    const version = await node.ask("GET", "/version");
    assert.is(version.status, 200);
    assert.ok(version.text.includes(manifest.version), version.text);
  });
});

test.run();
