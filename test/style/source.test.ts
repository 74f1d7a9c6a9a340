/** The style tests are only as good as their idea of what is code. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { codeFiles, codeOnly } from "./source.ts";

function words(text: string): string {
  return codeOnly(text).replaceAll(/\s+/g, " ").trim();
}

test("comments are not code", () => {
  assert.is(words("a(); // await b\n/* Date.now() */ c();"), "a(); c();");
});

test("strings are not code, and an escaped quote does not end one", () => {
  assert.is(words(`a("await \\" b", 'c // d') + e;`), "a( , ) + e;");
});

test("template text is not code, but what it embeds is", () => {
  assert.is(words("a(`await ${b({ c: 1 })} // ${`x${d}`} await`) + e;"), "a( b({ c: 1 }) d ) + e;");
});

test("a regular expression is not code, and a division is", () => {
  assert.is(words('a(/await [/] "/g) + b / c / d;'), "a( ) + b / c / d;");
});

test("every character keeps its place", () => {
  for (const { path, text } of codeFiles()) {
    assert.is(codeOnly(text).length, text.length, path);
    assert.is(codeOnly(text).split("\n").length, text.split("\n").length, path);
  }
});

test.run();
