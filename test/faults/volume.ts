/**
 * A small file system of its own for a node's files, which can be full and whose power can be cut.
 * Needs root and loop devices.
 */

import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import type { ClusterNode } from "../e2e/cluster.ts";
import type { Scope } from "../e2e/scope.ts";

const bytesDefault = 128 << 20;
/** `ioctl(EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH)`: nothing more reaches the disk. */
const shutdown = `
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))
`;
const witnessBytes = 4_096;
/** With the id of the process that made it, so that what a killed one left behind can be found. */
const prefix = "kv-volume-";

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
}

function look(): string | null {
  if (process.getuid?.() !== 0) return "not root: no file systems can be mounted";
  try {
    sweep();
    const scope = { onEnd: (cleanup: () => void) => cleanups.push(cleanup) };
    const cleanups: (() => void)[] = [];
    const volume = new Volume(scope, 8 << 20);
    volume.cutPower();
    volume.restorePower();
    for (const cleanup of cleanups.toReversed()) cleanup();
    return null;
  } catch (error) {
    return `no file system with a power switch: ${(error as Error).message}`;
  }
}

/** Unmounts what processes that were killed have left behind. */
function sweep(): void {
  for (const line of readFileSync("/proc/mounts", "utf8").split("\n")) {
    const point = line.split(" ")[1] ?? "";
    const owner = new RegExp(`/${prefix}(\\d+)-`).exec(point)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    spawnSync("umount", ["-l", point]);
    rmSync(dirname(point), { recursive: true, force: true });
  }
}

let looked: { why: string | null } | null = null;

/** Why there can be no volumes here; null where there can. */
export function whyNoVolumes(): string | null {
  looked ??= { why: look() };
  return looked.why;
}

export class Volume {
  /** Where it is mounted. */
  readonly point: string;
  readonly #image: string;

  constructor(scope: Pick<Scope, "onEnd">, bytes = bytesDefault) {
    const directory = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
    this.#image = join(directory, "image");
    this.point = join(directory, "mount");
    mkdirSync(this.point);
    writeFileSync(this.#image, "");
    truncateSync(this.#image, bytes);
    run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", this.#image);
    run("mount", "-o", "loop", this.#image, this.point);
    scope.onEnd(() => {
      spawnSync("umount", ["-l", this.point]);
      rmSync(directory, { recursive: true, force: true });
    });
    rmdirSync(join(this.point, "lost+found"));
    this.#writeWitness("a");
    run("sync", "-f", this.point);
  }

  /** Before its first start: the node's files are on the volume. */
  hold(node: ClusterNode): void {
    mkdirSync(dirname(node.directory), { recursive: true });
    symlinkSync(this.point, node.directory);
  }

  /** Nothing of what was not synced is there after `restorePower`; nobody may use it any more. */
  cutPower(): void {
    this.#writeWitness("b");
    run("python3", "-c", shutdown, this.point);
  }

  /** Holds an unsynced write to be gone: otherwise this was no power loss. */
  restorePower(): void {
    run("umount", this.point);
    run("mount", "-o", "loop", this.#image, this.point);
    assert.is(readFileSync(this.#witness, "utf8"), "a".repeat(witnessBytes));
  }

  get #witness(): string {
    return join(this.point, "witness");
  }

  /** In place, so that a full disk takes it too. */
  #writeWitness(letter: string): void {
    const file = openSync(this.#witness, existsSync(this.#witness) ? "r+" : "w");
    writeSync(file, letter.repeat(witnessBytes), 0);
    closeSync(file);
  }

  get #ballast(): string {
    return join(this.point, "ballast");
  }

  /** Takes what is free, but for `bytes`; returns how much that was. */
  fill(bytesLeft = 0): number {
    const piece = Buffer.alloc(1 << 16, 1);
    const file = openSync(this.#ballast, "w");
    let filled = 0;
    try {
      while (this.freeBytes > bytesLeft) filled += writeSync(file, piece);
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, "ENOSPC");
    } finally {
      closeSync(file);
    }
    return filled;
  }

  /** Synced, or a power loss would bring it back. */
  empty(): void {
    rmSync(this.#ballast, { force: true });
    run("sync", "-f", this.point);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.point);
    return bavail * bsize;
  }
}
