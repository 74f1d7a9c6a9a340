/** Remembered requests in a list, for machines and stores of tests. */

import { crc32 } from "node:zlib";
import type { RequestRecord, RequestStore } from "../../server/state-machine/once.ts";
import type { RowBatch, SnapshotValue } from "../../server/state-machine/port.ts";

export class MapRequests implements RequestStore {
  /** Oldest first; another list with every change. */
  list: readonly RequestRecord[];

  constructor(list: readonly RequestRecord[] = []) {
    this.list = list;
  }

  get oldest(): RequestRecord | null {
    return this.list[0] ?? null;
  }

  get newest(): RequestRecord | null {
    return this.list.at(-1) ?? null;
  }

  find(key: string): RequestRecord | null {
    return this.list.findLast((record) => record.key === key) ?? null;
  }

  add(record: RequestRecord): void {
    this.list = [...this.list, record];
  }

  dropOldest(): void {
    this.list = this.list.slice(1);
  }

  /** Over all of them, in their order: 16 hex digits. */
  get hash(): string {
    let hash = 0;
    for (const record of this.list) {
      const { number, key, fingerprint, answer, timeMs, bytesEver } = record;
      hash = crc32(answer, crc32(fingerprint, hash));
      hash = crc32(`${number} ${key} ${timeMs} ${bytesEver}`, hash);
    }
    return hash.toString(16).padStart(16, "0");
  }
}

export const requestRows = (list: readonly RequestRecord[]): SnapshotValue[][] =>
  list.map(({ number, key, fingerprint, answer, timeMs, bytesEver }) => [
    number,
    key,
    fingerprint,
    answer,
    timeMs,
    bytesEver,
  ]);

export const requestsIn = ({ rows }: RowBatch): RequestRecord[] =>
  rows.map((row) => {
    const [number, key, fingerprint, answer, timeMs, bytesEver] = row;
    return { number, key, fingerprint, answer, timeMs, bytesEver } as RequestRecord;
  });
