/** A file system in memory for a node's files, small enough to be filled. Needs root. */

import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import type { ClusterNode } from "./cluster.ts";
import type { Scope } from "./scope.ts";

/** Why there can be none here; null where there can. */
export function whyNoSmallDisks(scope: Scope): string | null {
  if (process.getuid?.() !== 0) return "not root: no file system can be mounted";
  const point = scope.temporaryDirectory();
  const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "tmpfs", point]);
  if (status !== 0) return `no file system can be mounted: ${String(stderr).trim()}`;
  spawnSync("umount", [point]);
  return null;
}

export class SmallDisk {
  readonly #point: string;

  /** Before the node's first start. */
  constructor(scope: Scope, node: ClusterNode, bytes: number) {
    this.#point = scope.temporaryDirectory();
    const { status } = spawnSync("mount", [
      "-t",
      "tmpfs",
      "-o",
      `size=${bytes}`,
      "tmpfs",
      this.#point,
    ]);
    assert.is(status, 0, "a tmpfs is mounted");
    scope.onEnd(() => void spawnSync("umount", ["-l", this.#point]));
    mkdirSync(dirname(node.directory), { recursive: true });
    symlinkSync(this.#point, node.directory);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#point);
    return bavail * bsize;
  }

  /** Somebody else uses up what is free, down to `bytesLeft`. */
  fill(bytesLeft = 0): void {
    const file = openSync(this.#ballast, "a");
    const piece = Buffer.alloc(4_096, 1);
    try {
      while (this.freeBytes > bytesLeft) writeSync(file, piece);
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, "ENOSPC");
    } finally {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  get #ballast(): string {
    return join(this.#point, "ballast");
  }
}
