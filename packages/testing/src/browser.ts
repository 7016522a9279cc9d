import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { findChromium } from "@moebius/software-adapter";
import { type Browser, chromium } from "playwright-core";
import { bundleForPage } from "./bundle.ts";
import type { PageReport } from "./page/run-tests.ts";

export type { PageReport, PageTest } from "./page/run-tests.ts";

/** Whether pages can be opened here: where a Chromium is installed, or comes with the software adapter. */
export const hasChromium = findChromium() !== undefined;

/** A page that hangs is closed then, which fails what waits for it. */
const PAGE_LIMIT_MS = 10 * 60_000;

/**
 * Runs test files in a page of a headless Chromium: the same files that run in Node.
 * @param folder of the package
 * @param files relative to `folder`, in the order to run them
 */
export function testInChromium(folder: string, files: readonly string[]): Promise<PageReport> {
  const imports = files.map((file) => `${JSON.stringify(file)}: () => import(${JSON.stringify(`./${file}`)})`);
  return evaluateCode(
    `import { runTests } from "page-runner";
    export default () => runTests({ ${imports.join(", ")} });`,
    folder,
  ) as Promise<PageReport>;
}

/**
 * Calls a module's default export in a page of a headless Chromium.
 * @param file absolute path of the module
 * @returns what it answers, a value that JSON can hold
 */
export function evaluateInChromium(file: string): Promise<unknown> {
  return evaluateCode(`export { default } from ${JSON.stringify(file)};`, path.dirname(file));
}

async function evaluateCode(code: string, folder: string): Promise<unknown> {
  const script = await bundleForPage(code, folder);
  const server = await serve(script);
  let browser: Browser | undefined;
  const limit = setTimeout(() => void browser?.close(), PAGE_LIMIT_MS);
  try {
    browser = await launch();
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.stack ?? error.message));
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return await page.evaluate("import('/page.js').then((page) => page.default())").catch((error: Error) => {
      throw new Error([error.message, ...errors].join("\n"), { cause: error });
    });
  } finally {
    clearTimeout(limit);
    await browser?.close();
    server.close();
  }
}

/** WebGPU needs a page from https or from localhost. */
async function serve(script: string): Promise<Server> {
  const server = createServer(({ url }, response) => {
    const isScript = url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : "<!doctype html><title>moebius</title>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

function launch(): Promise<Browser> {
  const found = findChromium();
  if (!found) throw new Error("no Chromium: install one, or @sparticuz/chromium (Linux x64)");
  return chromium.launch({
    executablePath: found.executable,
    args: [...found.args],
    env: { ...process.env, ...found.environment } as Record<string, string>,
  });
}
