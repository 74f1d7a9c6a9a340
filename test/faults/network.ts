/**
 * The network between the nodes: a proxy on every address that peers are told, behind which the node
 * listens. It can cut each direction between two nodes, delay it, and reset connections. Clients are
 * not affected: they reach a node that its peers do not.
 */

import { connect, createServer, type Socket } from "node:net";
import type { Cluster } from "../e2e/cluster.ts";
import type { Scope } from "../e2e/scope.ts";
import { DialerName } from "./dialer-name.ts";
import { Link, Pipe } from "./pipe.ts";

interface Connection {
  /** Null until the dialler has said its name. */
  from: number | null;
  readonly to: number;
  readonly dialer: Socket;
  readonly target: Socket;
}

export class Network {
  readonly links: readonly Link[];
  readonly #connections = new Set<Connection>();

  private constructor(ids: readonly number[]) {
    this.links = ids.flatMap((from) =>
      ids.filter((to) => to !== from).map((to) => new Link(from, to)),
    );
  }

  /** For a cluster prepared with `behindProxies`, before its nodes start. */
  static async start(scope: Scope, cluster: Cluster): Promise<Network> {
    const network = new Network(cluster.nodes.map(({ id }) => id));
    for (const { id, raftPort, raftListenPort } of cluster.nodes) {
      const server = createServer((dialer) => network.#accept(dialer, id, raftListenPort));
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(raftPort, "127.0.0.1", resolve);
      });
      scope.onEnd(() => void server.close());
    }
    scope.onEnd(() => void network.resetWhere(() => true));
    return network;
  }

  link(from: number, to: number): Link {
    const found = this.links.find((link) => link.from === from && link.to === to);
    if (found === undefined) throw new Error(`there is no link from ${from} to ${to}`);
    return found;
  }

  /** Every way out of the node. */
  waysFrom(id: number): Link[] {
    return this.links.filter(({ from }) => from === id);
  }

  waysTo(id: number): Link[] {
    return this.links.filter(({ to }) => to === id);
  }

  waysOf(id: number): Link[] {
    return [...this.waysFrom(id), ...this.waysTo(id)];
  }

  heal(): void {
    for (const link of this.links) link.set({ isCut: false, delayMs: 0 });
  }

  /** Resets connections by the ids of their dialler and target; returns how many. */
  resetWhere(chosen: (from: number, to: number) => boolean): number {
    let count = 0;
    for (const connection of this.#connections) {
      const { from, to, dialer, target } = connection;
      if (!chosen(from ?? 0, to)) continue;
      this.#connections.delete(connection);
      dialer.resetAndDestroy();
      target.resetAndDestroy();
      count++;
    }
    return count;
  }

  #accept(dialer: Socket, to: number, port: number): void {
    const target = connect(port, "127.0.0.1");
    const connection: Connection = { from: null, to, dialer, target };
    this.#connections.add(connection);
    const name = new DialerName();
    const there = new Pipe({ source: dialer, sink: target });
    const back = new Pipe({ source: target, sink: dialer });
    dialer.on("data", (chunk) => {
      if (connection.from === null) {
        connection.from = name.read(chunk);
        if (connection.from !== null) {
          const [out, home] = [this.link(connection.from, to), this.link(to, connection.from)];
          there.follow(out, home);
          back.follow(home, null);
        }
      }
      there.add(chunk);
    });
    target.on("data", (chunk) => back.add(chunk));
    for (const socket of [dialer, target]) {
      socket.setNoDelay(true);
      // A reset is as good an end as a close, which follows.
      socket.on("error", () => {});
    }
    target.on("close", () => this.#connections.delete(connection));
  }
}
