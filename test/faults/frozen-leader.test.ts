/** A leader that was asleep while others took over must not answer from its past. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, electionMs } from "../e2e/cluster.ts";
import { RawConnection } from "../e2e/http.ts";
import { scenario } from "../e2e/scope.ts";
import { until } from "../e2e/wait.ts";
import { isLongForm } from "./form.ts";

const rounds = isLongForm ? 20 : 5;

scenario(`a frozen leader wakes up with a read waiting, ${rounds} times`, async (scope) => {
  const cluster = await Cluster.start(scope);
  for (let round = 0; round < rounds; round++) {
    const frozen = await cluster.whole();
    await frozen.mustPut("clock", `before ${round}`);
    const connection = await RawConnection.open(scope, frozen.httpPort);
    const get = `GET /v1/kv/clock HTTP/1.1\r\nHost: 127.0.0.1:${frozen.httpPort}\r\n\r\n`;
    connection.write(get);
    await until("the answer of the old leader", 5_000, () =>
      connection.received.includes(`before ${round}`),
    );
    connection.received = "";
    frozen.process.signal("SIGSTOP");
    scope.onEnd(() => frozen.process.signal("SIGCONT"));
    const others = cluster.nodes.filter((node) => node !== frozen);
    const next = await until("another leader", electionMs, async () => {
      const states = await Promise.all(others.map((node) => node.status()));
      const leading = states.find(({ role }) => role === "leader");
      return leading && cluster.node(leading.nodeId);
    });
    await next.mustPut("clock", `after ${round}`);
    // Only now is the read sent: its answer must know of the write.
    connection.write(get);
    frozen.process.signal("SIGCONT");
    await until("an answer of the woken node", 9_000, () => {
      return connection.isClosed || /\r\n\r\n[\s\S]+/.test(connection.received);
    });
    const answer = connection.received;
    assert.not.match(answer, /before/, `round ${round}`);
    if (!connection.isClosed) assert.match(answer, /^HTTP\/1\.1 (?:200|503|504) /);
    if (answer.startsWith("HTTP/1.1 200")) assert.match(answer, new RegExp(`after ${round}$`));
    connection.destroy();
  }
  await cluster.whole();
  await cluster.assertSameState();
});

scenario(
  "writes queued at a frozen leader happen at most once, or say that they may not",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const frozen = await cluster.whole();
    const others = cluster.nodes.filter((node) => node !== frozen);
    const connection = await RawConnection.open(scope, frozen.httpPort);
    frozen.process.signal("SIGSTOP");
    scope.onEnd(() => frozen.process.signal("SIGCONT"));
    connection.write(
      `PUT /v1/kv/queued HTTP/1.1\r\nHost: 127.0.0.1:${frozen.httpPort}\r\nContent-Length: 1\r\n\r\nx`,
    );
    await until("another leader", electionMs, async () => {
      const states = await Promise.all(others.map((node) => node.status()));
      return states.some(({ role }) => role === "leader");
    });
    frozen.process.signal("SIGCONT");
    const answered = /^HTTP\/1\.1 (\d+) /;
    await until("an answer", 9_000, () => answered.test(connection.received));
    const status = Number(answered.exec(connection.received)?.[1]);
    await cluster.whole();
    const read = await cluster.node(1).get("queued");
    if (status === 201) assert.is(read.text, "x");
    else if (status === 503) assert.is(read.status, 404, "it said that nothing was written");
    else assert.is(status, 504, connection.received);
  },
);

test.run();
