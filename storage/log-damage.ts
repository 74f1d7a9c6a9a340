/** What is wrong with a log, and from where on it matters. */

export interface LogDamage {
  readonly path: string;
  readonly offset: number;
  readonly detail: string;
  /** The first index in the name of the file that it is in; 0 where there is no file. */
  readonly segment: number;
  /** From this entry on nothing can be vouched for. */
  readonly firstLost: number;
}

/** Damage found while the node runs: what cannot be vouched for is not served. */
export class LogDamaged extends Error {
  override name = "LogDamaged";
  readonly damage: LogDamage;

  constructor(damage: LogDamage) {
    super(`${damage.path}: at byte ${damage.offset}, ${damage.detail}`);
    this.damage = damage;
  }
}
