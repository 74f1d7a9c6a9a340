/**
 * Clients that change rows while nodes are killed, and watchers that follow them. What is acknowledged,
 * and under which revision, is remembered outside of the cluster and held against what was watched.
 */

import * as assert from "uvu/assert";
import { HttpClient } from "../../server/http-client.ts";
import type { WatchEvent } from "../../server/watch/watch-port.ts";
import { Cluster, electionMs } from "./cluster.ts";
import { ask, type Answer } from "./http.ts";
import type { Scope } from "./scope.ts";
import { pause, until } from "./wait.ts";

const prefix = "w/";

/** One line for all changes of a revision: `12 put w/1=5 delete w/2`. */
type Line = string;

export class ChangeWriters {
  /** By revision. */
  readonly acknowledged = new Map<number, Line>();
  readonly #cluster: Cluster;
  readonly #clients: Promise<void>[];
  #isStopped = false;

  constructor(cluster: Cluster, clients: number) {
    this.#cluster = cluster;
    this.#clients = Array.from({ length: clients }, (_, client) => this.#run(client));
  }

  async progress(writes: number, within: number): Promise<void> {
    const goal = this.acknowledged.size + writes;
    await until(`${writes} more writes`, within, () => this.acknowledged.size >= goal);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  /** Keys of this client alone, so that it knows which of its deletes find something. */
  async #run(client: number): Promise<void> {
    for (let turn = 0; !this.#isStopped; turn++) {
      const { nodes } = this.#cluster;
      const node = nodes[(client + turn) % nodes.length];
      const own = `${prefix}${client}/${turn}`;
      const path = `/v1/kv/${encodeURIComponent(own)}`;
      const port = node?.httpPort ?? 0;
      const put = await this.#try(port, "PUT", path, String(turn));
      if (put !== null) this.#acknowledge(put, `put ${own}=${turn}`);
      else continue;
      if (turn % 3 === 0) {
        const deleted = await this.#try(port, "DELETE", path);
        if (deleted !== null) this.#acknowledge(deleted, `delete ${own}`);
      } else if (turn % 3 === 1) {
        const twin = `${own}+`;
        const then = [
          { op: "delete", key: own },
          { op: "put", key: twin, value: "twin" },
        ];
        const both = await this.#try(port, "POST", "/v1/txn", JSON.stringify({ then }));
        if (both !== null) this.#acknowledge(both, `delete ${own} put ${twin}=twin`);
      }
      await pause(4);
    }
  }

  /** Null where it is not known to have happened; the key is used no more then. */
  async #try(port: number, method: string, path: string, body?: string): Promise<number | null> {
    const headers = { "Content-Type": "application/json" };
    const answer = await askQuietly(port, method, path, {
      headers,
      ...(body !== undefined && { body }),
    });
    if (answer === null || answer.status >= 300) return null;
    return answer.json()["revision"] as number;
  }

  #acknowledge(revision: number, line: Line): void {
    assert.not(this.acknowledged.has(revision), `revision ${revision} was given twice`);
    this.acknowledged.set(revision, `${revision} ${line}`);
  }
}

async function askQuietly(
  port: number,
  method: string,
  path: string,
  question: { headers: Record<string, string>; body?: string },
): Promise<Answer | null> {
  return ask(port, method, path, { ...question, timeoutMs: 6_000 }).catch(() => null);
}

/** Follows from a revision on, over whichever nodes there are. */
export class FollowingWatcher {
  readonly lines: Line[] = [];
  /** Up to where nothing is missing. */
  revision = 0;
  #partial: string[] = [];
  /** Why it ended before it was asked to. */
  failure: string | null = null;
  readonly #given = new AbortController();
  readonly #done: Promise<void>;

  constructor(endpoints: readonly string[], since: number) {
    this.#done = this.#run(endpoints, since);
  }

  async stop(): Promise<void> {
    this.#given.abort();
    await this.#done;
  }

  async #run(endpoints: readonly string[], since: number): Promise<void> {
    const client = new HttpClient(endpoints);
    const answer = await client.watch({ prefix, since, signal: this.#given.signal });
    if (!answer.ok) {
      this.failure = answer.detail;
      return;
    }
    for await (const batch of answer.batches) {
      for (const event of batch) {
        if (event.type === "over") this.failure = event.failure.detail;
        else this.#note(event);
      }
    }
  }

  #note(event: WatchEvent): void {
    if (event.type === "progress") {
      this.revision = Math.max(this.revision, event.revision);
      return;
    }
    const { type, key, row, revision, isLast } = event;
    const value = row === null ? "" : `=${new TextDecoder().decode(row.value)}`;
    this.#partial.push(`${type} ${key}${value}`);
    if (!isLast) return;
    this.lines.push([revision, ...this.#partial].join(" "));
    this.#partial = [];
    this.revision = revision;
  }
}

/** Watchers of all nodes, each beginning with another one. */
export function watchersOf(cluster: Cluster, count: number, since: number): FollowingWatcher[] {
  const endpoints = cluster.nodes.map(({ httpPort }) => `http://127.0.0.1:${httpPort}`);
  return Array.from({ length: count }, (_, at) => {
    const first = at % endpoints.length;
    return new FollowingWatcher([...endpoints.slice(first), ...endpoints.slice(0, first)], since);
  });
}

/** Every acknowledged change was seen once, in order, by all, and all saw the same. */
function verifyWatched(writers: ChangeWriters, watchers: readonly FollowingWatcher[]): void {
  const [first] = watchers;
  assert.ok(first);
  const revisions = first.lines.map((line) => Number(line.split(" ")[0]));
  revisions.forEach((revision, at) => {
    assert.ok(at === 0 || revision > (revisions[at - 1] ?? 0), `${revision} is not in order`);
  });
  const seen = new Set(first.lines);
  for (const line of writers.acknowledged.values()) assert.ok(seen.has(line), `not seen: ${line}`);
  watchers.forEach((watcher, at) => {
    assert.is(watcher.failure, null, `watcher ${at}`);
    assert.equal(watcher.lines, first.lines, `watcher ${at} saw something else`);
  });
}

/** Kills leaders under load and holds what was watched against what was acknowledged; returns the figures. */
export async function watchUnderKills(
  scope: Scope,
  count: { watchers: number; writers: number; kills: number; writes: number },
): Promise<string> {
  const cluster = await Cluster.start(scope);
  const since = await (await cluster.leader()).mustPut("begin", "");
  const watchers = watchersOf(cluster, count.watchers, since);
  const writers = new ChangeWriters(cluster, count.writers);
  scope.onEnd(async () => {
    await writers.stop();
    await Promise.all(watchers.map((watcher) => watcher.stop()));
  });
  await writers.progress(count.writes, 2 * electionMs);
  for (let kill = 0; kill < count.kills; kill++) {
    const victim = await cluster.leader();
    await victim.kill();
    await cluster.leader(electionMs);
    await writers.progress(count.writes, 4 * electionMs);
    victim.start();
    await cluster.whole();
  }
  await writers.stop();
  const end = await (await cluster.leader()).mustPut(`${prefix}end`, "");
  await until("all have seen the last change", 30_000, () =>
    watchers.every(({ revision, failure }) => revision >= end || failure !== null),
  );
  verifyWatched(writers, watchers);
  const revisions = watchers[0]?.lines.length;
  return (
    `${count.kills} leaders killed, ${writers.acknowledged.size} writes acknowledged: ` +
    `${count.watchers} watchers saw ${revisions} revisions each, all of them the same`
  );
}
