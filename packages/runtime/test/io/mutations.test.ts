import { expect, test } from "vitest";
import { outcome, tryMutations, validFile } from "./mutations.ts";

test("the file that is mutated is valid", async () => {
  expect(await outcome(await validFile())).toBe("read");
});

test("200 damaged files are read or refused by a typed error", async () => {
  const { read, refused } = await tryMutations(1, 200);
  expect(read + refused).toBe(200);
  expect(refused).toBeGreaterThan(100);
});
