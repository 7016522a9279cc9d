// Run in a page by browser.slow.test.ts: one test of each outcome.
import { describe, expect, test } from "vitest";
import { hasShared } from "../src/index.ts";

describe.each([1, 2])("round %d", (round) => {
  test("passes", () => {
    expect({ round, more: true }).toEqual({ round: expect.any(Number), more: true });
  });
});
test("fails", async () => {
  await expect(Promise.resolve("what came")).resolves.toBe("what was expected");
});
test.skipIf(!hasShared)("is skipped", () => {});
