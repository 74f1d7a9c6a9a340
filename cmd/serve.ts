/** One node's life: from checked flags to a serving process, and to its orderly end. */

import { join } from "node:path";
import { runPipe, runTerminal, nodePrompt, type TerminalSession } from "../repl/repl.ts";
import { lineBytesMax } from "../repl/words.ts";
import { formatAddress } from "../server/address.ts";
import { Admission } from "../server/admission.ts";
import { admissionLimits } from "../server/admission-limit.ts";
import { Backups } from "../server/backups.ts";
import { formedConfiguration, type Formed } from "../server/formation.ts";
import { bodyBytesMax, createApp, createDirect, type HttpOptions } from "../server/http.ts";
import { listen } from "../server/listen/http1.ts";
import { shownHttp1Limits, type Http1Limits } from "../server/listen/http1-limits.ts";
import type { Listener } from "../server/listen/listen.ts";
import { NodeClient } from "../server/node-client.ts";
import type { Leadership } from "../server/leadership.ts";
import { Node } from "../server/node.ts";
import { assert } from "../server/raft/assert.ts";
import type { BackupStore } from "../server/ports.ts";
import { RequestCounts } from "../server/request-counts.ts";
import { watchesOf } from "../server/watch/node-watch.ts";
import { admitted } from "../server/web-guard.ts";
import type { Suspect } from "../storage/group-files.ts";
import { StateDamaged } from "../storage/key-value-store.ts";
import { LogDamaged } from "../storage/log-damage.ts";
import { addressOf, type NodeConfig } from "./config.ts";
import { BackgroundChecks } from "./background-checks.ts";
import { connectionsWithin } from "./descriptors.ts";
import { exitCodes, StartError } from "./exit.ts";
import { lifelineEnd, shutdownSignals, standardInput } from "./input.ts";
import { createLog, type Log, type LogFields } from "./log.ts";
import { lastWords } from "./last-words.ts";
import { nodeMetrics } from "./node-metrics.ts";
import { NodeDirectory } from "./node-directory.ts";
import { tell } from "./output.ts";
import { Peers } from "./peers.ts";
import { portError } from "./start-errors.ts";
import { systemClock, systemRandom } from "./system.ts";
import { version } from "./version.ts";

/** How long a stopping leader waits for its successor, and requests for their answers. */
const handOverMs = 1_000;
const drainMs = 1_000;
/** How long clients have to notice that this node ends. */
const lingerMs = 300;
/** How often a condition of the shutdown is looked at. */
const pollMs = 10;

/** Damage found while a process lives: more of it, and the disk is not worth another attempt. */
const mendingsMax = 8;

const lostEntries =
  "log entries that this node has acknowledged are gone: it has no vote until a leader has given " +
  "them back; if no leader comes, start the nodes that are down, and where most of them have lost " +
  "entries, restore a backup (kv restore), or the directories of all nodes from copies that were " +
  "taken at one moment, with every node stopped";

export async function serve(config: NodeConfig): Promise<void> {
  const server = new Server(config);
  try {
    await server.start();
  } catch (error) {
    await server.abandon();
    throw error;
  }
  const signalled = new Promise<"exit">((resolve) => {
    for (const signal of shutdownSignals) process.on(signal, () => resolve("exit"));
  });
  await Promise.race([signalled, lifelineEnd(), server.removed, server.runPrompt()]);
  await server.shutDown();
  process.exit(exitCodes.done);
}

class Server {
  readonly #config: NodeConfig;
  readonly #log: Log;
  readonly #client: NodeClient;
  readonly #peers: Peers;
  readonly #httpLimits: Http1Limits;
  #directory: NodeDirectory | null = null;
  #node: Node | null = null;
  #listener: Listener | null = null;
  #session: TerminalSession | null = null;
  #isRemoved = false;
  readonly #removal = Promise.withResolvers<"removed">();
  /** A leader was known in this life. */
  #hasServed = false;
  /** What the node's start was given, and what has to end with it; null before the cluster has formed. */
  #running: {
    readonly formed: Formed;
    readonly checks: BackgroundChecks;
    readonly backups: BackupStore;
    readonly logBytes: () => number;
    /** For whoever watches and comes back; what went wrong, or null. */
    readonly saveHistory: () => string | null;
  } | null = null;
  readonly #backups = new Backups({
    clock: systemClock,
    source: () => this.#node && this.#running && { node: this.#node, store: this.#running.backups },
  });
  readonly #requests = new RequestCounts();
  readonly #admission = new Admission(admissionLimits, systemClock.monotonicMs());
  #isMending = false;
  #mendings = 0;

  constructor(config: NodeConfig) {
    this.#config = config;
    const { httpLimits } = config;
    const connectionsMax = connectionsWithin(httpLimits.connectionsMax);
    this.#httpLimits = { ...httpLimits, connectionsMax };
    this.#log = createLog({
      level: config.logLevel,
      format: config.logFormat,
      wallMs: () => systemClock.wallMs(),
      write: (line) => this.#print(line),
    });
    this.#peers = new Peers({
      config,
      log: this.#log,
      directory: () => this.#directory,
      node: () => this.#node,
      formed: (formed) => this.#form(formed),
      retired: (detail) => this.#retired(detail),
      failed: (error) => this.#die(error),
    });
    this.#client = new NodeClient({
      self: config.nodeId,
      version,
      limits: config.limits,
      otherLimits: {
        ...shownHttp1Limits(this.#httpLimits),
        ...admissionLimits,
        promptLineBytesMax: lineBytesMax,
      },
      clock: systemClock,
      plan: config.plan,
      isConnected: (peer) => this.#peers.transport.isConnected(peer),
      failed: (error) => this.#failed(error),
    });
  }

  /** Ports first and the directory last, so that a start that fails leaves nothing behind. */
  async start(): Promise<void> {
    const opened = await NodeDirectory.open({
      path: this.#config.directory,
      nodeId: this.#config.nodeId,
      beforeCreation: () => this.#openPorts(),
    });
    this.#directory = opened;
    const { identity } = opened;
    if (identity.clusterId !== null) {
      this.#startNode({ clusterId: identity.clusterId, members: identity.members });
    } else {
      this.#peers.seek(identity.incarnation);
    }
    this.#peers.transport.dial();
  }

  /** A start that failed: gives back what it had taken. */
  async abandon(): Promise<void> {
    await this.#listener?.close(0);
    this.#peers.transport.close();
    this.#directory?.close();
  }

  /** When this node has learned that it is not a member any more. */
  get removed(): Promise<"removed"> {
    return this.#removal.promise;
  }

  async runPrompt(): Promise<"exit"> {
    const input = this.#config.prompt ? standardInput() : "none";
    const talk = {
      store: this.#client,
      input: process.stdin,
      output: process.stdout,
      monotonicMs: () => systemClock.monotonicMs(),
    };
    if (input === "terminal") {
      const session = runTerminal({
        ...talk,
        prompt: () => nodePrompt(this.#config.nodeId, this.#node?.leadership.role ?? "forming"),
        historyPath: join(this.#config.directory, "history"),
      });
      this.#session = session;
      return session.ended;
    }
    if (input === "pipe") {
      // Lines are written before the start as well as after it: the first waits for a leader.
      await until(() => this.#client.isReady, Infinity);
      const end = await runPipe(talk);
      if (end === "exit") return "exit";
    }
    return new Promise(() => {});
  }

  /** Hands over leadership, finishes what is in flight, closes. Within three seconds altogether. */
  async shutDown(): Promise<void> {
    this.#session?.close();
    this.#session = null;
    this.#log.info("stopping");
    this.#listener?.drain();
    const node = this.#node;
    if (node) {
      const successor = node.handOver();
      if (successor !== null) {
        await until(() => node.leadership.leaderId === successor, handOverMs);
        this.#log.info(`node ${successor} was asked to lead`, leadershipFields(node));
      }
      // Who asks from now on is sent elsewhere, and does not come back before the port is closed.
      node.windDown();
      const lingers = this.#listener?.hasClients ? lingerMs : 0;
      const end = systemClock.monotonicMs() + lingers;
      const isDone = (): boolean =>
        node.pendingWriteCount === 0 && systemClock.monotonicMs() >= end;
      await until(isDone, drainMs);
    }
    this.#client.endWatches();
    node?.stop();
    this.#running?.checks.stop();
    await this.#listener?.close(200);
    this.#peers.transport.close();
    this.#backups.closeAll();
    const unsaved = this.#running?.saveHistory() ?? null;
    if (unsaved !== null) this.#log.warn(`${unsaved}; who watches will have to begin anew here`);
    this.#directory?.close();
  }

  // ------------------------------------------------------------------ ports

  async #openPorts(): Promise<void> {
    const { raftListen, httpListen } = this.#config;
    await this.#peers.transport.listen().catch((error: unknown) => {
      throw portError(error, formatAddress(raftListen), "peers (--raft)");
    });
    const options = this.#httpOptions();
    const app = createApp(options);
    this.#listener = await listen({
      direct: createDirect(options),
      fetch: (request, env) => app.fetch(request, env),
      readable: (head, refusal) => admitted(head, refusal, options),
      answered: (asked, status, ms) => this.#requests.answered(asked, status, ms),
      bodyBytesMax,
      clock: systemClock,
      admission: this.#admission,
      limits: this.#httpLimits,
      hostname: httpListen.host,
      port: httpListen.port,
    }).catch((error: unknown) => {
      throw portError(error, formatAddress(httpListen), "HTTP (--http)");
    });
  }

  #httpOptions(): HttpOptions {
    const { httpListen, plan, nodeId, allowedHosts, allowedOrigins } = this.#config;
    const advertised = plan.find(({ id }) => id === nodeId)?.http ?? "";
    const own = [httpListen.host, addressOf(advertised, "--cluster").host];
    const bracketed = own.map((host) => (host.includes(":") ? `[${host}]` : host.toLowerCase()));
    return {
      store: this.#client,
      backups: this.#backups,
      metrics: () => this.#metrics(),
      version,
      live: () => true,
      ready: () => this.#client.isReady,
      hosts: new Set(["localhost", ...bracketed, ...allowedHosts]),
      origins: new Set(allowedOrigins),
      onBug: (error) => this.#die(error),
    };
  }

  async #metrics(): Promise<string> {
    const answer = await this.#client.status();
    assert(answer.ok, "a node knows its own status");
    return nodeMetrics({
      status: answer.status,
      requests: this.#requests,
      admission: this.#admission,
      pendingWrites: this.#node?.pendingWriteCount ?? 0,
      watchers: this.#client.watcherCount,
      logBytes: this.#running?.logBytes() ?? 0,
      residentBytes: process.memoryUsage.rss(),
      counters: (peer) => this.#peers.transport.counters(peer),
    });
  }

  // ------------------------------------------------------------------ the node

  /** Who served until now has done its work; who starts with such a directory has made a mistake. */
  #retired(detail: string): void {
    const advice = "delete the directory to come back as a new member";
    if (!this.#hasServed)
      this.#die(new StartError(`${this.#config.directory}: ${detail}; ${advice}`));
    if (!this.#isRemoved) this.#log.warn(`${detail}; this node ends`);
    this.#isRemoved = true;
    this.#removal.resolve("removed");
  }

  #form(formed: Formed): void {
    if (this.#node || !this.#directory) return;
    try {
      this.#directory.saveFormation(formed);
      this.#log.info(`cluster ${formed.clusterId} has formed`);
      this.#startNode(formed);
      // Those who missed somebody learn from our new identity that the cluster stands.
      this.#peers.transport.redial();
    } catch (error) {
      this.#die(error);
    }
  }

  #startNode(formed: Formed, suspect?: Suspect): void {
    const { nodeId } = this.#config;
    const directory = this.#directory;
    if (!directory) return;
    const members = formedConfiguration(formed);
    const group = directory.openGroup(members, this.#config.limits, suspect);
    const { log, hardState, machine, snapshots, note, space, verdict, history } = group;
    const remembered = history.take(machine.digest());
    this.#log.info(verdict);
    const { incarnation } = directory.identity;
    const { clusterId } = formed;
    if (note.current.log !== null) this.#log.warn(lostEntries);
    const node = new Node({
      self: nodeId,
      incarnation,
      formed: members,
      limits: this.#config.limits,
      clock: systemClock,
      random: systemRandom,
      network: this.#peers.transport,
      log,
      hardState,
      machine,
      space,
      snapshots,
      mending: note,
      fatal: (error) => this.#failed(error),
      leadershipChanged: (now) => this.#leadershipChanged(now),
      configurationChanged: (now) => {
        group.members.save(now.committed);
        this.#peers.configurationChanged(now);
        if (!now.committed.retired.includes(incarnation)) return;
        this.#retired(`the directory of node ${nodeId} was removed from cluster ${clusterId}`);
      },
      warn: (text) => this.#log.warn(text),
    });
    this.#node = node;
    const { configurations } = node;
    group.members.save(configurations.committed);
    this.#peers.joined({ self: nodeId, incarnation, clusterId, configurations });
    const { limits } = this.#config;
    const watches = watchesOf(node, { clock: systemClock, limits, remembered });
    node.start();
    this.#client.formed(node, clusterId, watches);
    const checks = new BackgroundChecks({
      clock: systemClock,
      log,
      machine,
      failed: (error) => this.#failed(error),
    });
    const saveHistory = (): string | null => {
      const { remembered: now } = this.#client;
      return now && history.save(machine.digest(), now);
    };
    const logBytes = (): number => log.bytes;
    this.#running = { formed, checks, backups: group.backups, logBytes, saveHistory };
  }

  /**
   * Something in the node's files, or in the node, is not as it should be. Damaged files are mended as
   * a start would do it, and in this process, so that nobody has to start it again; whatever else it
   * is, or if it comes again and again, ends the process.
   */
  #failed(error: unknown): void {
    const suspect = suspectOf(error);
    const running = this.#running;
    // Several requests may meet the same damage.
    if (suspect && this.#isMending) return;
    if (!suspect || !running || !this.#node || this.#mendings >= mendingsMax) {
      this.#die(error);
      return;
    }
    this.#mendings++;
    this.#isMending = true;
    this.#log.warn(
      `${(error as Error).message}; nothing more is served from there until it is mended`,
    );
    running.checks.stop();
    this.#node.stop();
    systemClock.soon(() => {
      try {
        this.#backups.closeAll();
        this.#directory?.leaveGroup();
        this.#startNode(running.formed, suspect);
        this.#isMending = false;
      } catch (next) {
        this.#die(next);
      }
    });
  }

  #leadershipChanged(now: Leadership): void {
    this.#hasServed ||= now.leaderId !== null;
    const leader = now.leaderId === null ? "no leader" : `leader ${now.leaderId}`;
    this.#log.info(`${now.role}, term ${now.term}, ${leader}`);
    this.#session?.refresh();
  }

  /** The end where nothing may be promised any more: one line, no answers, no orderly closing. */
  #die(error: unknown): void {
    this.#session?.close();
    this.#session = null;
    const { line, code } = lastWords(error);
    tell(line);
    process.exit(code);
  }

  #print(line: string): void {
    if (this.#session) this.#session.printAbove(line);
    else tell(line);
  }
}

function suspectOf(error: unknown): Suspect | null {
  if (error instanceof LogDamaged) return { part: "log", detail: error.message };
  if (error instanceof StateDamaged) return { part: "state", detail: error.detail };
  return null;
}

const leadershipFields = ({ leadership }: Node): LogFields => ({
  leader: leadership.leaderId,
  term: leadership.term,
});

/** Waits for a condition, and no longer than `limitMs`. */
function until(condition: () => boolean, limitMs: number): Promise<void> {
  const end = systemClock.monotonicMs() + limitMs;
  return new Promise((resolve) => {
    const look = (): void => {
      if (condition() || systemClock.monotonicMs() >= end) resolve();
      else setTimeout(look, pollMs);
    };
    look();
  });
}
