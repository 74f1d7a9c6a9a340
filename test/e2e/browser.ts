/** Pages in a headless browser: served by the test, from origins of its choice, and heard by it. */

import { spawnSync } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { ask } from "./http.ts";
import { KvProcess } from "./process.ts";
import type { Scope } from "./scope.ts";
import { until } from "./wait.ts";

const names = [
  "chromium-headless-shell",
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
];

/** A browser of the Chromium kind that runs here; null where there is none. */
export function findBrowser(): string | null {
  // Some systems have a program of that name which only says how to get one.
  return names.find((name) => spawnSync(name, ["--version"]).status === 0) ?? null;
}

/** A name that only the test's browser knows. A page that comes from it is no "secure context". */
export const strangeHost = "app.test";

const flags = [
  "--headless",
  // Its own sandbox does not work for root, nor in many containers; it sees our pages alone.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-first-run",
  `--host-resolver-rules=MAP ${strangeHost} 127.0.0.1`,
  "--remote-debugging-port=0",
];

const startMs = 20_000;
const sayMs = 10_000;
const stopMs = 5_000;

/** Before everything else in a page: what it prints, and what goes wrong in it, is heard by the test. */
const prologue = `<!doctype html><meta charset="utf-8"><script>
  let saying = Promise.resolve();
  const say = (...words) => {
    const init = { method: "POST", body: words.join(" ") };
    saying = saying.then(() => fetch("/said" + location.search, init)).catch(() => {});
  };
  console.log = say;
  addEventListener("error", ({ message, error }) => say("FAILED", message, error?.stack));
  addEventListener("unhandledrejection", ({ reason }) => say("FAILED", reason?.stack ?? reason));
</script>
`;

export class Page {
  /** What it has said so far. */
  readonly lines: string[] = [];

  /** Waits for `line`, to the letter. */
  async says(line: string, within = sayMs): Promise<void> {
    await this.until(`says ${line}`, within, () => this.lines.includes(line));
  }

  async until(what: string, within: number, look: () => boolean): Promise<void> {
    const found = await until(`the page ${what}`, within, () => {
      const failed = this.lines.find((line) => line.startsWith("FAILED"));
      if (failed !== undefined) return new Error(failed);
      if (look()) return "seen";
      throw new Error(JSON.stringify(this.lines.slice(-5)));
    });
    if (found instanceof Error) throw found;
  }
}

export interface BrowserOptions {
  /** What `findBrowser` has found. */
  readonly program: string;
  /** Where the pages are served. */
  readonly port: number;
  /** Modules and pages by name; a page's name ends in `.html`. */
  readonly files: ReadonlyMap<string, string>;
}

export class Browser {
  readonly #scope: Scope;
  readonly #files: ReadonlyMap<string, string>;
  readonly #pages: Page[] = [];
  #debuggingPort = 0;

  private constructor(scope: Scope, files: ReadonlyMap<string, string>) {
    this.#scope = scope;
    this.#files = files;
  }

  static async start(scope: Scope, options: BrowserOptions): Promise<Browser> {
    const browser = new Browser(scope, options.files);
    await Promise.all([browser.#serve(options.port), browser.#launch(options.program)]);
    return browser;
  }

  /** Until `scope` ends. `asked` is handed to the page in its address. */
  async open(
    scope: Scope,
    origin: string,
    name: string,
    asked: Readonly<Record<string, string>> = {},
  ): Promise<Page> {
    const page = new Page();
    const query = new URLSearchParams({ ...asked, page: String(this.#pages.length) });
    this.#pages.push(page);
    await this.show(scope, `${origin}/${name}?${query.toString()}`);
    return page;
  }

  /** Any address, until `scope` ends. Returns how to ask what the title of its page is now. */
  async show(scope: Scope, address: string): Promise<() => Promise<string | undefined>> {
    const command = `/json/new?${encodeURIComponent(address)}`;
    const { id } = (await ask(this.#debuggingPort, "PUT", command)).json();
    scope.onEnd(async () => {
      await ask(this.#debuggingPort, "GET", `/json/close/${String(id)}`);
    });
    return async () => {
      const { text } = await ask(this.#debuggingPort, "GET", "/json/list");
      const all = JSON.parse(text) as readonly { readonly id: string; readonly title: string }[];
      return all.find((each) => each.id === id)?.title;
    };
  }

  async #serve(port: number): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    this.#scope.onEnd(() => {
      server.closeAllConnections();
      server.close();
    });
  }

  async #launch(program: string): Promise<void> {
    const directory = this.#scope.temporaryDirectory();
    const child = new KvProcess(this.#scope, {
      name: program,
      command: [program, ...flags, `--user-data-dir=${directory}`, "about:blank"],
    });
    this.#scope.onEnd(async () => {
      // Its children write into the directory for as long as they live.
      child.signal("SIGTERM");
      await child.endsWithin(stopMs);
    });
    const [, port = ""] = await until("the browser runs", startMs, () =>
      /^DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//m.exec(child.stderr),
    );
    this.#debuggingPort = Number(port);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://test");
    if (pathname === "/said") {
      let line = "";
      for await (const chunk of request.setEncoding("utf8")) line += String(chunk);
      this.#pages[Number(searchParams.get("page"))]?.lines.push(line);
      response.writeHead(204).end();
      return;
    }
    const file = this.#files.get(pathname.slice(1));
    const isPage = pathname.endsWith(".html");
    const type = isPage ? "text/html" : "text/javascript";
    response.writeHead(file === undefined ? 404 : 200, { "Content-Type": type });
    response.end((isPage ? prologue : "") + (file ?? ""));
  }
}
