/** A real browser beside real nodes: the client in a page, `EventSource`, and pages that are not let in. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { connect } from "../../client/client.ts";
import { skipped } from "../harness/skipped.ts";
import { Browser, findBrowser, type Page, strangeHost } from "./browser.ts";
import { Cluster, type ClusterNode, electionMs } from "./cluster.ts";
import { root } from "./executable.ts";
import { freePorts } from "./ports.ts";
import { aimed, readmePrograms } from "./readme-programs.ts";
import { scenario, type Scope, shared } from "./scope.ts";
import { until } from "./wait.ts";

function output(program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd: root, encoding: "utf8" });
  assert.is(status, 0, stderr);
  return stdout;
}

/** The client as its users build it. */
function builtClient(): string {
  output("npm", "run", "--silent", "build:client");
  return readFileSync(join(root, "kv-client.js"), "utf8");
}

function builtPage(): string {
  const bun = join(root, "node_modules/.bin/bun");
  return output(bun, "build", "test/e2e/browser-page.ts", "--target", "browser");
}

const originOf = ({ httpPort }: ClusterNode): string => `http://127.0.0.1:${httpPort}`;

/** Three nodes that let one origin in, and pages that come from it and from another. */
interface Scene {
  readonly cluster: Cluster;
  readonly browser: Browser;
  readonly friend: string;
  readonly stranger: string;
}

async function sceneOf(scope: Scope, path: string): Promise<Scene> {
  const [port = 0] = await freePorts(1);
  const [friend, stranger] = [`http://${strangeHost}:${port}`, `http://127.0.0.1:${port}`];
  const flags = ["--allowed-origins", `https://app.example.org,${friend}`];
  const cluster = await Cluster.prepare(scope, { flags });
  cluster.startAll();
  const files = new Map([
    ["kv-client.js", builtClient()],
    ["page.js", builtPage()],
    ["page.html", '<script type="module" src="page.js"></script>'],
    ...readmePrograms("html").map(
      ({ name, code }) => [`readme-${name}.html`, aimed(code, cluster.nodes)] as const,
    ),
  ]);
  const [browser] = await Promise.all([
    Browser.start(scope, { program: path, port, files }),
    cluster.whole(),
  ]);
  return { cluster, browser, friend, stranger };
}

function scenarios(path: string): void {
  const scene = shared((scope) => sceneOf(scope, path));

  /** The page with this part of `browser-page.ts`, which begins with the node that is asked first. */
  const opened = (
    scope: Scope,
    part: string,
    asked: { from?: "stranger"; first?: ClusterNode; since?: number } = {},
  ): Promise<Page> => {
    const { cluster, browser } = scene();
    const { from = "friend", first = cluster.node(1), since = 0 } = asked;
    const nodes = [first, ...cluster.nodes.filter((node) => node !== first)].map(originOf);
    const query = { part, nodes: nodes.join(","), since: String(since) };
    return browser.open(scope, scene()[from], "page.html", query);
  };

  scenario("the client does in a page all that it does elsewhere", async (scope) => {
    const page = await opened(scope, "exercise");
    await page.says("done", 20_000);
    assert.equal(page.lines, ["done"]);
  });

  scenario("a page sends the store's headers and reads those of its answers", async (scope) => {
    const page = await opened(scope, "headers");
    await page.says("done");
    assert.equal(page.lines, [
      "put 201 true",
      "head image/png 1 linearizable true",
      "lease 404 not_found",
      "large 413 too_large not_applied",
      "done",
    ]);
  });

  scenario("a page of another origin reads, writes and watches nothing", async (scope) => {
    const node = scene().cluster.node(1);
    const revision = await node.mustPut("k", "5");
    const page = await opened(scope, "trespass", { from: "stranger" });
    await page.says("done");
    assert.equal(page.lines, [
      "get refused",
      "put refused",
      "delete refused",
      "counted refused",
      "blind opaque 0",
      "embedded refused",
      "events refused",
      "done",
    ]);
    const { text, headers } = await node.get("k");
    assert.equal([text, headers["etag"]], ["5", `"${revision}"`]);
  });

  scenario("a page that somebody has stored is shown, and runs no script", async (scope) => {
    const { cluster, browser } = scene();
    const [node] = cluster.nodes;
    assert.ok(node);
    // Of two titles the first one counts.
    const html = "<script>document.write('<title>ran</title>')</script><title>shown</title>";
    const put = await node.put("page.html", html, { headers: { "Content-Type": "text/html" } });
    assert.is(put.status, 201);
    const title = await browser.show(scope, `${originOf(node)}/v1/kv/page.html`);
    await until("it is shown", 5_000, async () => (await title()) === "shown");
  });

  scenario("a page that watches sees each change once while its node restarts", async (scope) => {
    const { cluster } = scene();
    const [node] = await cluster.followers();
    assert.ok(node);
    const since = await node.mustPut("begin", "");
    const kv = connect(cluster.nodes.map(originOf));
    scope.onEnd(() => kv.close());
    const written: string[] = [];
    /** In one revision. */
    const write = async (...keys: string[]): Promise<void> => {
      const value = String(written.length);
      const puts = keys.map((key) => ({ op: "put", key, value }) as const);
      const { revision } = await kv
        .txn()
        .do(...puts)
        .commit();
      for (const key of keys) written.push(`${revision} put ${key} ${value}`);
    };
    await write("w/1");
    const page = await opened(scope, "watches", { first: node, since });
    const seen = (kind: string): string[] =>
      page.lines.flatMap((line) => (line.startsWith(kind) ? [line.slice(kind.length)] : []));
    const seesAll = (): Promise<void> =>
      page.until("sees all changes", 3 * electionMs, () =>
        ["event ", "change "].every((kind) => seen(kind).includes(written.at(-1) ?? "")),
      );
    await write("w/2");
    await seesAll();
    await node.stop();
    await page.says("event source cut off");
    await write("w/1");
    await write("w/3", "w/4");
    node.start();
    await seesAll();
    await write("w/5");
    await seesAll();
    assert.equal(seen("change "), written);
    assert.equal(
      seen("event ").filter((line) => !line.startsWith("source")),
      written,
    );
  });

  for (const { name, prints } of readmePrograms("html")) {
    scenario(`the README's page ${name} prints what it says`, async (scope) => {
      const { browser, friend } = scene();
      const page = await browser.open(scope, friend, `readme-${name}.html`);
      await page.until("prints all", electionMs, () => page.lines.length >= prints.length);
      assert.equal(page.lines, prints);
    });
  }
}

const found = findBrowser();
if (found === null) {
  test("a browser is a client like any other", () => {
    skipped("no Chromium here (Debian: chromium-headless-shell)");
  });
} else {
  scenarios(found);
}

test.run();
