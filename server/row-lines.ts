/** Rows as JSON, one a line, page after page: what waits in memory is one page, however many follow. */

import type { ClientPort, ListAnswer, ListOptions, ReadMeta, Result } from "./client-port.ts";
import { keyJson, rowJson } from "./json-row.ts";
import { defaultLimits } from "./limits.ts";
import { compareKeys } from "./state-machine/key-range.ts";

type Page = Extract<ListAnswer, { readonly ok: true }>;

/** Rows of one page. Their values are bounded by the store besides. */
const pageRowsMax = defaultLimits.listRowsDefault;

/**
 * The first page is read before this resolves, so that what fails at once can be told. Where a later
 * one fails the stream breaks off: whoever reads it sees that the end is missing. `limit` null: all.
 */
export async function rowLines(
  store: ClientPort,
  options: ListOptions,
  limit: number | null,
): Promise<Result<ReadMeta & { readonly revision: number; readonly body: ReadableStream }>> {
  let left = limit ?? Infinity;
  const pageAfter = (after: string | null | undefined): Promise<ListAnswer> =>
    store.list({ ...options, after: after ?? null, limit: Math.min(pageRowsMax, left) });
  const first = await pageAfter(options.after);
  if (!first.ok) return first;
  let page: Page | null = first;
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    async pull(controller) {
      if (page === null) {
        controller.close();
        return;
      }
      const { rows, prefixes, more, last }: Page = page;
      left -= rows.length + prefixes.length;
      controller.enqueue(encoder.encode(linesOf(page, options)));
      if (!more || left <= 0) {
        page = null;
        return;
      }
      const next = await pageAfter(last);
      if (!next.ok) throw new Error(next.detail);
      page = next;
    },
  });
  const { level, revision, ageMs } = first;
  const meta = ageMs === undefined ? { level } : { level, ageMs };
  return { ok: true, ...meta, revision, body };
}

/** Rows and prefixes in one order, that of the listing. */
function linesOf({ rows, prefixes }: Page, { keysOnly, reverse }: ListOptions): string {
  const shown = keysOnly === true ? keyJson : rowJson;
  const lines: object[] = [];
  let at = 0;
  for (const row of rows) {
    for (let prefix = prefixes[at]; prefix !== undefined; prefix = prefixes[++at]) {
      const order = compareKeys(prefix, row.key);
      if (reverse === true ? order < 0 : order > 0) break;
      lines.push({ prefix });
    }
    lines.push(shown(row));
  }
  for (const prefix of prefixes.slice(at)) lines.push({ prefix });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}
