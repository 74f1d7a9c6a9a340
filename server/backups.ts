/** `GET /v1/backup`: the state at one instant, as a file that is made beside the node's work. */

import type { Failure } from "./client-port.ts";
import type { Node } from "./node.ts";
import type { BackupMaking, BackupStore, Clock } from "./ports.ts";

export interface BackupsOptions {
  readonly clock: Clock;
  /** Null until the cluster has formed. */
  readonly source: () => { readonly node: Node; readonly store: BackupStore } | null;
}

/** Rows read in one piece, and bytes sent in one. */
const pieceBytes = 128 << 10;
/** The node's other work waits no longer for ours, and then has as long for itself. */
const sliceMs = 5;
/** How long a snapshot that is being made for another node may keep a backup waiting. */
const busyWaitMs = 10_000;
const busyPollMs = 50;

type Made = { readonly ok: true; readonly making: BackupMaking } | Failure;

const noLeader: Failure = {
  ok: false,
  code: "no_leader",
  detail:
    "without a leader it is not known what the newest state is; try again, or ask another node",
};
const busy: Failure = {
  ok: false,
  code: "overloaded",
  detail: "a backup is being made, or a snapshot for another node; try again later",
  retryAfterSeconds: 5,
};
const noSpace: Failure = {
  ok: false,
  code: "no_space",
  detail: "a backup is made on this node's disk first, which has no room for it; ask another node",
};
const replaced: Failure = {
  ok: false,
  code: "stale",
  detail: "this node's state was replaced by a newer one meanwhile; try again",
};

export class Backups {
  readonly #options: BackupsOptions;
  readonly #running = new Set<BackupMaking>();

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** The file, or why there is none. It holds every write that was acknowledged before. */
  async make(): Promise<Made> {
    const source = this.#options.source();
    if (!source) return noLeader;
    const { node, store } = source;
    const readable = await new Promise<boolean>((resolve) => {
      node.read(({ ok }) => resolve(ok));
    });
    if (!readable) return noLeader;
    const begun = await this.#begin(store);
    if (begun === "busy") return busy;
    if (begun === "full" || node.disk.room !== "ok") {
      if (begun !== "full") begun.close();
      return noSpace;
    }
    this.#running.add(begun);
    const result = await this.#work(begun);
    if (result === "done") return { ok: true, making: begun };
    this.close(begun);
    return result === "full" ? noSpace : replaced;
  }

  /** Its bytes in order; it is closed at their end. */
  stream(making: BackupMaking): ReadableStream<Uint8Array> {
    let offset = 0;
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          const piece = making.read(offset, pieceBytes);
          offset += piece.byteLength;
          if (piece.byteLength > 0) {
            controller.enqueue(piece);
            return;
          }
          this.close(making);
          controller.close();
        },
        cancel: () => this.close(making),
      },
      { highWaterMark: 1 },
    );
  }

  close(making: BackupMaking): void {
    this.#running.delete(making);
    making.close();
  }

  /** The files go away under whatever is being made: the node stops, or opens its files anew. */
  closeAll(): void {
    for (const making of this.#running) this.close(making);
  }

  async #begin(store: BackupStore): Promise<BackupMaking | "busy" | "full"> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + busyWaitMs;
    for (;;) {
      const begun = store.begin();
      if (begun !== "busy" || clock.monotonicMs() >= endMs) return begun;
      await this.#pause(busyPollMs);
    }
  }

  async #work(making: BackupMaking): Promise<"done" | "full" | "lost"> {
    const { clock } = this.#options;
    for (;;) {
      const endMs = clock.monotonicMs() + sliceMs;
      do {
        if (!this.#running.has(making)) return "lost";
        const result = making.work(pieceBytes);
        if (result !== "more") return result;
      } while (clock.monotonicMs() < endMs);
      await this.#pause(sliceMs);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(ms, resolve);
    });
  }
}
