/** What is compared: the cells of the table, and the goal of each. */

import type { Place } from "./subject.ts";

export type Kind = "put" | "get" | "mixed";

export interface Cell {
  readonly kind: Kind;
  readonly clients: number;
  readonly place: Place;
  readonly valueBytes: number;
  readonly keyCount: number;
  /** How many times etcd's rate is to be reached; null where none is set. */
  readonly goal: number | null;
}

/** Of 100-byte values against the leader, by clients. */
const goals: Readonly<Record<"put" | "get", Readonly<Record<number, number>>>> = {
  put: { 1: 2.5, 16: 4, 64: 4, 256: 3.5 },
  get: { 1: 3, 16: 6, 64: 6, 256: 6 },
};

/** A single client's PUT takes at most as many times one `fdatasync`. */
export const syncsPerPutGoal = 2.5;

const smallBytes = 100;
/** Less than the 100,000 keys where they would be more bytes than these. */
const dataBytesMax = 128 << 20;

export const keyCountFor = (valueBytes: number): number =>
  Math.min(100_000, Math.floor(dataBytesMax / valueBytes));

function cell(kind: Kind, clients: number, place: Place, valueBytes: number): Cell {
  const keyCount = keyCountFor(valueBytes);
  const isGoal = kind !== "mixed" && place === "leader" && valueBytes === smallBytes;
  const goal = isGoal ? (goals[kind][clients] ?? null) : null;
  return { kind, clients, place, valueBytes, keyCount, goal };
}

/** Ordered by the size of the values: the keys are filled anew with every size. */
export function plannedCells(isQuick: boolean): Cell[] {
  const clients = isQuick ? [1, 64] : [1, 16, 64, 256];
  const sizes = isQuick ? [smallBytes] : [smallBytes, 1024, 65_536];
  const places: readonly Place[] = isQuick ? ["leader"] : ["leader", "follower"];
  return sizes.flatMap((size) =>
    (size === smallBytes ? places : (["leader"] as const)).flatMap((place) =>
      (size === smallBytes ? (["put", "get", "mixed"] as const) : (["put", "get"] as const))
        // One client cannot be nine readers and a writer.
        .flatMap((kind) =>
          clients
            .filter((count) => kind !== "mixed" || count >= 16)
            .map((count) => cell(kind, count, place, size)),
        ),
    ),
  );
}

/** What bare nodes can be asked: they know one size of values, and only the first of them answers. */
export const isForBareNodes = ({ place, valueBytes }: Cell): boolean =>
  place === "leader" && valueBytes === smallBytes;

const bytesText = (bytes: number): string => (bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`);

export const cellName = ({ clients, kind, place, valueBytes }: Cell): string =>
  `${kind} ${clients} ${place} ${bytesText(valueBytes)}`;
