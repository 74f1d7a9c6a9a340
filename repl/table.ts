/** Rows in columns, as wide as what stands in them, and no wider than the terminal. */

import { columnsOf, shortenedTo } from "./display.ts";

export interface Table {
  readonly header: readonly string[];
  /** As many cells each as the header has, already safe to be shown. */
  readonly rows: readonly (readonly string[])[];
}

const gap = "  ";
/** Below this a column is not made narrower, however many there are. */
const cellColumnsMin = 8;

/** `columns` null: as wide as it takes. */
export function renderTable({ header, rows }: Table, columns: number | null): string {
  const widths = header.map((title, at) =>
    Math.max(columnsOf(title), ...rows.map((row) => columnsOf(row[at] ?? ""))),
  );
  if (columns !== null) narrow(widths, columns - gap.length * (widths.length - 1));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => padded(cell, widths[at] ?? 0))
      .join(gap)
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width));
  return [line(header), line(rule), ...rows.map(line)].join("\n");
}

/** Takes from the widest columns what is too much. */
function narrow(widths: number[], room: number): void {
  for (;;) {
    const over = widths.reduce((sum, width) => sum + width, 0) - room;
    const widest = Math.max(...widths);
    if (over <= 0 || widest <= cellColumnsMin) return;
    const second = Math.max(cellColumnsMin, ...widths.filter((width) => width < widest));
    widths[widths.indexOf(widest)] = Math.max(second, widest - over);
  }
}

function padded(cell: string, width: number): string {
  const short = shortenedTo(cell, width);
  return short + " ".repeat(Math.max(0, width - columnsOf(short)));
}
