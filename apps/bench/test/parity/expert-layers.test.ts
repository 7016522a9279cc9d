import { hasShared, sharedPath, testDevice } from "@moebius/testing";
import { expect, test } from "vitest";
import { runGolden } from "../../src/parity/parity.ts";

test.skipIf(!hasShared).for(["monet-hd", "monet-vd", "union-of-experts-layers"])("%s", async (name) => {
  const { comparisons, untouched } = await runGolden(sharedPath(`goldens/${name}`), await testDevice());
  expect(comparisons.length).toBeGreaterThan(20);
  expect(comparisons.filter(({ passed }) => !passed)).toEqual([]);
  expect(untouched).toEqual([]);
});
