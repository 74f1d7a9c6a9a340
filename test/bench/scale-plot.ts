/**
 * Series as one SVG, a panel each: requests a second over what grows. Its colours are read on white as
 * well as on black, and it has no background, because nobody knows on which it is shown.
 */

import type { Series } from "./scale-series.ts";

const panel = { width: 400, height: 240 };
const margin = { left: 58, right: 14, top: 44, bottom: 34 };
const columns = 2;
const ink = "#808890";
const lines = [
  { name: "puts", color: "#e8710a", rate: (at: number, { points }: Series) => points[at]?.put.put },
  { name: "gets", color: "#2f81f7", rate: (at: number, { points }: Series) => points[at]?.get.get },
] as const;

const escaped = (content: string): string =>
  content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

interface At {
  readonly x: number;
  readonly y: number;
  readonly anchor?: "start" | "middle" | "end";
  readonly size?: number;
  readonly color?: string;
}

function text(content: string, { x, y, anchor = "start", size = 11, color = ink }: At): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}" fill="${color}">${escaped(content)}</text>`;
}

/** 1, 2 or 5 times a power of ten, about a quarter of `most`. */
function stepOf(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  return power * ([1, 2, 5, 10].find((times) => 4.5 * times * power >= most) ?? 10);
}

interface Scale {
  readonly marks: readonly number[];
  /** 0 at the bottom, 1 at the top. */
  readonly of: (value: number) => number;
}

export function scaleOf(values: readonly number[], isLogarithmic: boolean): Scale {
  const most = Math.max(1, ...values);
  if (!isLogarithmic) {
    const step = stepOf(most);
    const top = Math.ceil(most / step);
    const marks = Array.from({ length: top + 1 }, (_, i) => i * step);
    return { marks, of: (value) => value / (top * step) };
  }
  const low = Math.floor(Math.log10(Math.max(1, Math.min(...values))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(most)));
  const marks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return { marks, of: (value) => (Math.log10(Math.max(1, value)) - low) / (high - low) };
}

const markText = (value: number): string =>
  value >= 1_000 ? `${(value / 1_000).toLocaleString("en-US")}k` : String(value);

function panelOf(series: Series, left: number, top: number): string {
  const { points } = series;
  const rates = points.map((_, at) => lines.map(({ rate }) => rate(at, series)?.perSecond ?? 0));
  const scale = scaleOf(rates.flat(), series.isLogarithmic);
  const inner = {
    left: left + margin.left,
    right: left + panel.width - margin.right,
    top: top + margin.top,
    bottom: top + panel.height - margin.bottom,
  };
  const xOf = (at: number): number =>
    inner.left + ((at + 0.5) / points.length) * (inner.right - inner.left);
  const yOf = (value: number): number =>
    inner.bottom - scale.of(value) * (inner.bottom - inner.top);
  const parts = [
    text(series.name, { x: left + 8, y: top + 16, size: 13 }),
    text(series.about, { x: left + 8, y: top + 31, size: 10 }),
  ];
  for (const mark of scale.marks) {
    const y = yOf(mark);
    parts.push(
      `<line x1="${inner.left}" x2="${inner.right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" stroke="${ink}" stroke-opacity="0.3"/>`,
      text(markText(mark), { x: inner.left - 6, y: y + 4, anchor: "end", size: 10 }),
    );
  }
  for (const [at, { label }] of points.entries()) {
    parts.push(text(label, { x: xOf(at), y: inner.bottom + 16, anchor: "middle", size: 10 }));
  }
  for (const [line, { color }] of lines.entries()) {
    const at = rates.map((own, i) => `${xOf(i).toFixed(1)},${yOf(own[line] ?? 0).toFixed(1)}`);
    parts.push(
      `<polyline points="${at.join(" ")}" fill="none" stroke="${color}" stroke-width="2"/>`,
      ...at.map((place) => {
        const [x = "", y = ""] = place.split(",");
        return `<circle cx="${x}" cy="${y}" r="3.5" fill="${color}"/>`;
      }),
    );
  }
  return parts.join("\n");
}

export function plotOf(all: readonly Series[], title: string): string {
  const rows = Math.ceil(all.length / columns);
  const top = 40;
  const width = columns * panel.width;
  const height = top + rows * panel.height;
  const legend = lines.map(({ name, color }, i) =>
    text(`● ${name} a second`, { x: width - 230 + 115 * i, y: 24, color }),
  );
  const panels = all.map((series, at) =>
    panelOf(series, (at % columns) * panel.width, top + Math.floor(at / columns) * panel.height),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" role="img">`,
    `<title>${escaped(title)}</title>`,
    text(title, { x: 8, y: 24, size: 12 }),
    ...legend,
    ...panels,
    "</svg>",
    "",
  ].join("\n");
}
