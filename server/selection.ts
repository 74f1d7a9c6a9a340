/** Which keys a request is about, as one range. */

import type { Selection } from "./client-port.ts";
import { compareKeys, firstKey, prefixRange, type KeyRange } from "./state-machine/key-range.ts";

/** What all that is named has in common; a range whose end is before its start holds nothing. */
export function rangeOf({ prefix = "", start, end }: Selection): KeyRange {
  const range = prefix === "" ? { ...prefixRange(prefix), start: firstKey } : prefixRange(prefix);
  return {
    start: start !== undefined && compareKeys(start, range.start) > 0 ? start : range.start,
    end: end !== undefined && compareKeys(end, range.end) < 0 ? end : range.end,
  };
}
