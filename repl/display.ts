/** How a typed line looks on one row of a terminal: the part around the cursor that has room. */

/** `columnsBefore` is where the cursor stands, counted from the left end of `text`. */
export interface Window {
  readonly text: string;
  readonly columnsBefore: number;
}

/**
 * The part of the line that fits into `columns`, which is at least 3. One row that scrolls sideways
 * needs no knowledge of how a terminal wraps, so nothing is garbled when its size changes.
 */
export function windowOf(line: string, cursor: number, columns: number): Window {
  const before = fitEnd(line, cursor, columns);
  if (before.offset === 0) {
    const after = fitStart(line, cursor, columns - before.columns);
    const text = shown(line.slice(0, after.offset));
    const cut = after.offset < line.length && after.columns > 0;
    return { text: cut ? withoutLast(text) : text, columnsBefore: before.columns };
  }
  // The line is wider than the row: a third of it is left for what follows the cursor.
  const left = fitEnd(line, cursor, Math.ceil((2 * columns) / 3) - 1);
  const right = fitStart(line, cursor, columns - 1 - left.columns);
  const text = shown(line.slice(left.offset, right.offset));
  return { text: `…${text}`, columnsBefore: 1 + left.columns };
}

/** What a line may show of itself: control characters as the pictures Unicode has of them. */
export function shown(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(
    /[\x00-\x1f\x7f]|[\x80-\x9f\u2028\u2029]|(?![\u200c\u200d])\p{Cf}/gu,
    picture,
  );
}

/** `text`, already `shown`, or as much of its beginning as fits into `columns` with a sign of the cut. */
export function shortenedTo(text: string, columns: number): string {
  const { offset } = fitStart(text, 0, columns);
  if (offset === text.length) return text;
  return `${text.slice(0, fitStart(text, 0, columns - 1).offset)}…`;
}

/** The columns that `text`, already `shown`, takes on a row. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += columnsOfCharacter(character);
  return columns;
}

function picture(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}

/** Marks without a width of their own may be many: this many units at most for each column of a row. */
const unitsPerColumnMax = 16;

interface Fit {
  readonly offset: number;
  readonly columns: number;
}

/** How far back from `end` one gets within `room` columns. */
function fitEnd(line: string, end: number, room: number): Fit {
  let offset = end;
  let columns = 0;
  while (offset > 0) {
    const isPair = isLowSurrogate(line.charCodeAt(offset - 1)) && offset > 1;
    const start = offset - (isPair ? 2 : 1);
    const width = columnsOf(shown(line.slice(start, offset)));
    if (columns + width > room || end - start > unitsPerColumnMax * room) break;
    columns += width;
    offset = start;
  }
  return { offset, columns };
}

/** How far on from `start` one gets within `room` columns. */
function fitStart(line: string, start: number, room: number): Fit {
  let offset = start;
  let columns = 0;
  while (offset < line.length) {
    const character = String.fromCodePoint(line.codePointAt(offset) ?? 0);
    const width = columnsOf(shown(character));
    const isFull = offset + character.length - start > unitsPerColumnMax * room;
    if (columns + width > room || isFull) break;
    columns += width;
    offset += character.length;
  }
  return { offset, columns };
}

/** The sign that something was cut takes the place of the last character that has a width. */
function withoutLast(text: string): string {
  const characters = [...text];
  while (columnsOf(characters.pop() ?? "…") === 0);
  return `${characters.join("")}…`;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** Wide: East Asian scripts and pictures, as `wcwidth` has them, coarsely. */
const wide = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3\\uf900-\\ufaff" +
    "\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6\\u{17000}-\\u{18cff}\\u{1b000}-\\u{1b2ff}" +
    "\\u{1f200}-\\u{1f2ff}\\u{20000}-\\u{3fffd}]|\\p{Emoji_Presentation}",
  "u",
);

function columnsOfCharacter(character: string): number {
  if (character >= " " && character <= "~") return 1;
  if (/^[\p{Mn}\p{Me}\u200c\u200d]$/u.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
