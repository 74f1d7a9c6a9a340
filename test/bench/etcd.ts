/** Three nodes of etcd, and its gRPC calls as the bytes that `h2load` sends. */

import { Buffer } from "node:buffer";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./cluster.ts";
import {
  keyOf,
  keyPrefix,
  type Operation,
  type Part,
  type Place,
  type Subject,
} from "./subject.ts";

const nodeCount = 3;
/** Different bodies at one time: as many processes of `h2load` share one. */
const bodyFilesMax = 16;
/** So often every body file gets another key. */
const rekeyMs = 1;
const fillBytesMax = 512 << 10;
const fillKeysMax = 100;

/** Field `number` of a protobuf message, of bytes. */
function field(number: number, bytes: Buffer): Buffer {
  const length: number[] = [];
  let left = bytes.byteLength;
  for (; left > 127; left >>>= 7) length.push((left & 127) | 128);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, left]), bytes]);
}

/** A gRPC frame (not compressed) with `PutRequest {key, value}` or `RangeRequest {key}`. */
export function requestBody(operation: Operation, key: string, valueBytes: number): Buffer {
  const value = operation === "put" ? [field(2, Buffer.alloc(valueBytes, "x"))] : [];
  const message = Buffer.concat([field(1, Buffer.from(key)), ...value]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}

/** Where the digits of the key stand in a body: behind the frame's head, tag, length and prefix. */
const digitsOffset = 5 + 2 + keyPrefix.length;

/**
 * Body files whose keys change all the time. `h2load` sends one file with every request and reads it
 * anew for each, so this is how it comes to write under different keys.
 */
export class BodyFiles {
  readonly #directory: string;
  readonly #open = new Map<string, number>();
  #keyCount = 1;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(directory: string) {
    this.#directory = directory;
    this.#timer = setInterval(() => {
      for (const descriptor of this.#open.values()) {
        const digits = keyOf(Math.floor(Math.random() * this.#keyCount)).slice(keyPrefix.length);
        writeSync(descriptor, digits, digitsOffset);
      }
    }, rekeyMs);
  }

  path({ keyCount, operation, part, valueBytes }: Part): string {
    this.#keyCount = keyCount;
    const name = `body-${operation}-${valueBytes}-${part % bodyFilesMax}`;
    const path = join(this.#directory, name);
    if (!this.#open.has(path)) {
      writeFileSync(path, requestBody(operation, keyOf(0), valueBytes));
      this.#open.set(path, openSync(path, "r+"));
    }
    return path;
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

interface EtcdNode {
  readonly port: number;
  readonly process: ChildProcess;
}

interface EtcdStatus {
  readonly header: { readonly member_id: string; readonly revision: string };
  readonly leader: string;
}

export class EtcdCluster implements Subject {
  readonly name = "etcd";
  readonly #nodes: EtcdNode[] = [];
  readonly #bodies: BodyFiles;
  readonly #directory: string;

  private constructor(directory: string, bodies: BodyFiles) {
    this.#directory = directory;
    this.#bodies = bodies;
  }

  /** `directory`: for its data; removed at the end. */
  static async start(directory: string, bodies: BodyFiles): Promise<EtcdCluster> {
    const cluster = new EtcdCluster(directory, bodies);
    mkdirSync(directory);
    const ports: { client: string; peer: string; port: number }[] = [];
    for (let i = 0; i < nodeCount; i++) {
      const port = await freePort();
      const peer = `http://127.0.0.1:${await freePort()}`;
      ports.push({ port, client: `http://127.0.0.1:${port}`, peer });
    }
    const members = ports.map(({ peer }, i) => `n${i}=${peer}`).join(",");
    for (const [i, { client, peer, port }] of ports.entries()) {
      const words = [
        ...["--name", `n${i}`, "--data-dir", join(directory, `n${i}`), "--log-level", "error"],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", members, "--initial-cluster-token", directory],
        ...["--quota-backend-bytes", String(32 * 2 ** 30)],
      ];
      const process = spawn("etcd", words, { stdio: "ignore" });
      cluster.#nodes.push({ port, process });
    }
    process.once("exit", () => cluster.#kill());
    await cluster.port("leader");
    return cluster;
  }

  get processIds(): readonly number[] {
    return this.#nodes.map(({ process: { pid = 0 } }) => pid);
  }

  async port(place: Place): Promise<number> {
    for (let tries = 0; tries < 200; tries++) {
      for (const { port } of this.#nodes) {
        const status = await this.#call<EtcdStatus>(port, "maintenance/status", {}).catch(
          () => null,
        );
        if (status === null || Number(status.leader) === 0) continue;
        const isLeader = status.leader === status.header.member_id;
        if (isLeader === (place === "leader")) return port;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("etcd has no leader");
  }

  async fill(keyCount: number, valueBytes: number): Promise<void> {
    const port = await this.port("leader");
    const value = Buffer.alloc(valueBytes, "x").toString("base64");
    const batch = Math.max(1, Math.min(fillKeysMax, Math.floor(fillBytesMax / valueBytes)));
    for (let first = 0; first < keyCount; first += batch) {
      const success = Array.from({ length: Math.min(batch, keyCount - first) }, (_, i) => ({
        requestPut: { key: Buffer.from(keyOf(first + i)).toString("base64"), value },
      }));
      await this.#call(port, "kv/txn", { success });
    }
    await this.tidy();
  }

  arguments(part: Part): string[] {
    const method = part.operation === "put" ? "Put" : "Range";
    return [
      ...["-d", this.#bodies.path(part), "-H", "content-type: application/grpc"],
      ...["-H", "te: trailers", `http://127.0.0.1:${part.port}/etcdserverpb.KV/${method}`],
    ];
  }

  async writeCount(): Promise<number> {
    const port = await this.port("leader");
    const status = await this.#call<EtcdStatus>(port, "maintenance/status", {});
    return Number(status.header.revision);
  }

  /** Drops the history, which would fill the disk. */
  async tidy(): Promise<void> {
    const port = await this.port("leader");
    const revision = await this.writeCount();
    await this.#call(port, "kv/compaction", { revision }).catch(() => {});
  }

  end(): void {
    this.#kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #call<T>(port: number, path: string, question: unknown): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${port}/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(question),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd: ${path}: ${text}`);
    return JSON.parse(text) as T;
  }

  #kill(): void {
    for (const { process: child } of this.#nodes) child.kill("SIGKILL");
  }
}
