/** Finds the watchers of a key: what it costs grows with those that are found, and with the ranges. */

import { isHidden } from "../state-machine/hidden-rows.ts";
import { compareKeys, type KeyRange } from "../state-machine/key-range.ts";

/** What a watcher looks at. */
export type Watched =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "prefix"; readonly prefix: string }
  | { readonly kind: "range"; readonly range: KeyRange };

export function isWatched(watched: Watched, key: string): boolean {
  switch (watched.kind) {
    case "key":
      return key === watched.key;
    case "prefix":
      return key.startsWith(watched.prefix) && (watched.prefix !== "" || !isHidden(key));
    case "range":
      return isInRange(watched.range, key);
  }
}

const isInRange = ({ start, end }: KeyRange, key: string): boolean =>
  compareKeys(key, start) >= 0 && compareKeys(key, end) < 0;

export class WatchIndex<W extends { readonly watched: Watched }> {
  readonly #byKey = new Map<string, Set<W>>();
  readonly #byPrefix = new Map<string, Set<W>>();
  /** How many different prefixes there are of each length, in UTF-16 units. */
  readonly #lengths = new Map<number, number>();
  readonly #ranges = new Set<W>();

  add(watcher: W): void {
    const { watched } = watcher;
    if (watched.kind === "range") this.#ranges.add(watcher);
    else if (watched.kind === "key") insert(this.#byKey, watched.key, watcher);
    else if (insert(this.#byPrefix, watched.prefix, watcher)) this.#count(watched.prefix, 1);
  }

  remove(watcher: W): void {
    const { watched } = watcher;
    if (watched.kind === "range") this.#ranges.delete(watcher);
    else if (watched.kind === "key") withdraw(this.#byKey, watched.key, watcher);
    else if (withdraw(this.#byPrefix, watched.prefix, watcher)) this.#count(watched.prefix, -1);
  }

  /** Calls `found` with every watcher of `key`. */
  each(key: string, found: (watcher: W) => void): void {
    this.#byKey.get(key)?.forEach(found);
    for (const length of this.#lengths.keys()) {
      if (length === 0 && isHidden(key)) continue;
      if (length <= key.length) this.#byPrefix.get(key.slice(0, length))?.forEach(found);
    }
    for (const watcher of this.#ranges) if (isWatched(watcher.watched, key)) found(watcher);
  }

  #count({ length }: string, by: 1 | -1): void {
    const count = (this.#lengths.get(length) ?? 0) + by;
    if (count === 0) this.#lengths.delete(length);
    else this.#lengths.set(length, count);
  }
}

/** Says whether it is the first of its name. */
function insert<W>(sets: Map<string, Set<W>>, name: string, watcher: W): boolean {
  const set = sets.get(name);
  if (set) set.add(watcher);
  else sets.set(name, new Set([watcher]));
  return set === undefined;
}

/** Says whether it was the last of its name. */
function withdraw<W>(sets: Map<string, Set<W>>, name: string, watcher: W): boolean {
  const set = sets.get(name);
  set?.delete(watcher);
  if (set?.size !== 0) return false;
  return sets.delete(name);
}
