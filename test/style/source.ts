/** The project's text as the style tests see it: which files there are, and code without its words. */

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface SourceFile {
  /** From the root, with `/`. */
  path: string;
  text: string;
}

/** Not ours, or made by running the project. */
const skipped = new Set([".git", "node_modules", "kv-data"]);
const textFile = /\.(?:ts|js|json|md|toml|yml|yaml|txt|sh)$|(?:^|\/)(?:run|LICENSE|\.\w+)$/;

function walk(directory: string, into: string[]): void {
  for (const item of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, item.name);
    if (skipped.has(item.name)) continue;
    if (item.isDirectory()) walk(path, into);
    else if (item.isFile() && textFile.test(item.name)) {
      into.push(path);
    }
  }
}

/** Every text file of the project, sorted by path. */
export function projectFiles(): SourceFile[] {
  const paths: string[] = [];
  walk(root, paths);
  return paths.sort().map((path) => ({
    path: relative(root, path).replaceAll("\\", "/"),
    text: readFileSync(path, "utf8"),
  }));
}

export function codeFiles(): SourceFile[] {
  return projectFiles().filter(({ path }) => path.endsWith(".ts"));
}

export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** Comments, strings, template text and regular expressions; `${` is handled by `codeOnly`. */
const comment = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const quoted = /"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'/y;
const templatePart = /(?:\\[\s\S]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y;
const regularExpression = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y;
/** After these a slash begins a regular expression and does not divide. */
const beforeExpression =
  /(?:^|[(,=:[!&|?{};<>+*%~^-]|\b(?:return|typeof|case|of|in|yield|await))\s*$/;

/**
 * The code with comments and regular expressions blanked, and the inside of strings too unless
 * `keepStrings`. Every character keeps its place, so offsets and lines are those of the original.
 */
export function codeOnly(text: string, keepStrings = false): string {
  let result = "";
  let offset = 0;
  /** For each open `${`, how many braces are open inside it. */
  const templates: number[] = [];
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = offset;
    return pattern.exec(text)?.[0];
  };
  const blank = (piece: string) => {
    result += piece.replaceAll(/[^\n]/g, " ");
    offset += piece.length;
  };
  const blankTemplate = (start: number) => {
    offset += start;
    const piece = take(templatePart) ?? text.slice(offset);
    if (piece.endsWith("${")) templates.push(0);
    offset -= start;
    blank(" ".repeat(start) + text.slice(offset + start, offset + start + piece.length));
  };
  while (offset < text.length) {
    const character = text.charAt(offset);
    const piece = character === "/" ? take(comment) : take(quoted);
    if (piece !== undefined) {
      if (character !== "/" && keepStrings) {
        result += piece;
        offset += piece.length;
      } else blank(piece);
      continue;
    }
    if (character === "/" && beforeExpression.test(result.slice(-40))) {
      const expression = take(regularExpression);
      if (expression !== undefined) {
        blank(expression);
        continue;
      }
    }
    const depth = templates.at(-1);
    if (character === "`") blankTemplate(1);
    else if (character === "}" && depth === 0) {
      templates.pop();
      blankTemplate(1);
    } else {
      if (depth !== undefined && character === "{") templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && character === "}") templates[templates.length - 1] = depth - 1;
      result += character;
      offset += 1;
    }
  }
  return result;
}
