import { testDevice, uniform } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { countingSort } from "../../src/kernels/counting-sort.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const NONE = 0xffffffff;

describe("countingSort", () => {
  test.each([
    [1, 1],
    [7, 3],
    [256, 8],
    [1000, 64],
    [5000, 200],
  ])("sorts %i items by %i keys, stable, and leaves others out", async (items, numKeys) => {
    const next = uniform(items);
    // One key in nine is out of range.
    const keys = Uint32Array.from({ length: items }, () => (next() < 1 / 9 ? NONE : Math.floor(next() * numKeys)));
    const sorted = countingSort(tensor(device, keys), numKeys);
    const expected = [...keys.keys()]
      .filter((i) => (keys[i] ?? NONE) < numKeys)
      .sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
    const counts = Array.from({ length: numKeys }, (_, key) => keys.filter((own) => own === key).length);
    let total = 0;
    expect([...(await sorted.counts.read())]).toEqual(counts);
    expect([...(await sorted.offsets.read())]).toEqual([0, ...counts.map((count) => (total += count))]);
    expect([...(await sorted.order.read())]).toEqual([...expected, ...new Array(items - expected.length).fill(NONE)]);
    const slots = new Array(items).fill(NONE);
    for (const [slot, item] of expected.entries()) slots[item] = slot;
    expect([...(await sorted.slots.read())]).toEqual(slots);
  });

  test("no items give no slots", async () => {
    const sorted = countingSort(tensor(device, new Uint32Array()), 4);
    expect([...(await sorted.offsets.read())]).toEqual([0, 0, 0, 0, 0]);
    expect(await sorted.slots.read()).toHaveLength(0);
  });
});
