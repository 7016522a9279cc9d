import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { hasChromium, testInChromium } from "../src/browser.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));

describe.skipIf(!hasChromium)("testInChromium", () => {
  test("reports each test with its describes, its state and why it failed", async () => {
    const { adapter, tests } = await testInChromium(folder, ["page-example.ts"]);
    expect(adapter).toMatch(/swiftshader/i);
    expect(tests.map(({ name, state }) => [name, state])).toEqual([
      ["page-example.ts > round 1 > passes", "passed"],
      ["page-example.ts > round 2 > passes", "passed"],
      ["page-example.ts > fails", "failed"],
      ["page-example.ts > is skipped", "skipped"],
    ]);
    expect(tests[2]?.error).toContain("expected 'what came' to be 'what was expected'");
  });

  test("a file that asks for Node is an error that names what it asks for", async () => {
    await expect(testInChromium(folder, ["browser.slow.test.ts"])).rejects.toThrow(/a page has no node:url/);
  });
});
