import { expect, test } from "vitest";
import { tryMutations } from "./mutations.ts";

test("20,000 damaged files are read or refused by a typed error", async () => {
  const { read, refused } = await tryMutations(1000, 20_000);
  expect(read + refused).toBe(20_000);
  expect(refused).toBeGreaterThan(10_000);
  expect(read).toBeGreaterThan(500);
});
