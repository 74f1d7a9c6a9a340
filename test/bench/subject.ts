/** What the comparison measures: this cluster or another one, and how `h2load` asks it. */

export type Operation = "put" | "get";
export type Place = "leader" | "follower";

/** Sixteen bytes, the same in both clusters. */
export const keyPrefix = "bench-";
export const keyOf = (number: number): string => keyPrefix + String(number).padStart(10, "0");

/** What one process of `h2load` asks for. */
export interface Part {
  readonly operation: Operation;
  readonly port: number;
  readonly valueBytes: number;
  readonly keyCount: number;
  /** This one's number among `parts`, from 0. */
  readonly part: number;
  readonly parts: number;
}

export interface Subject {
  readonly name: "kv" | "etcd" | "bare";
  /** Of all its nodes. */
  readonly processIds: readonly number[];
  /** The port of the leader, or of some follower. */
  port(place: Place): Promise<number>;
  /** Writes every key. */
  fill(keyCount: number, valueBytes: number): Promise<void>;
  /** The arguments of `h2load` for one process. */
  arguments(part: Part): string[];
  /** A number that grows by one with every write that was done. */
  writeCount(): Promise<number>;
  /** Housekeeping between two measurements, that is not measured. */
  tidy(): Promise<void>;
}
