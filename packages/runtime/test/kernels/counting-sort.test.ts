import { testDevice, uniform } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { type CountingSort, countingSort } from "../../src/kernels/counting-sort.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const NONE = 0xffffffff;

/** The same by JavaScript's stable sort. */
function reference(keys: Uint32Array, numKeys: number): Record<keyof CountingSort, Uint32Array> {
  const counts = new Uint32Array(numKeys);
  const offsets = new Uint32Array(numKeys + 1);
  const order = new Uint32Array(keys.length).fill(NONE);
  const slots = new Uint32Array(keys.length).fill(NONE);
  const kept = [...keys.keys()].filter((item) => (keys[item] as number) < numKeys);
  kept.sort((a, b) => (keys[a] as number) - (keys[b] as number));
  for (const [slot, item] of kept.entries()) {
    order[slot] = item;
    slots[item] = slot;
    counts[keys[item] as number] = (counts[keys[item] as number] as number) + 1;
  }
  let total = 0;
  for (const [key, count] of counts.entries()) offsets[key + 1] = total += count;
  return { counts, offsets, order, slots };
}

async function expectSorted(keys: Uint32Array<ArrayBuffer>, numKeys: number): Promise<void> {
  const sorted = countingSort(tensor(device, keys), numKeys);
  for (const [name, expected] of Object.entries(reference(keys, numKeys))) {
    const actual = await sorted[name as keyof CountingSort].read();
    expect(actual.length, name).toBe(expected.length);
    const wrong = actual.findIndex((value, i) => value !== expected[i]);
    expect({ name, at: wrong, value: actual[wrong] }).toEqual({ name, at: -1, value: undefined });
  }
}

/** One key in nine is NONE, and some are just out of range. */
function randomKeys(items: number, numKeys: number, seed: number): Uint32Array<ArrayBuffer> {
  const next = uniform(seed);
  return Uint32Array.from({ length: items }, () => (next() < 1 / 9 ? NONE : Math.floor(next() * (numKeys + 1))));
}

describe("countingSort", () => {
  test.each([
    [1, 1],
    [7, 3],
    [64, 8],
    [65, 8],
    [1000, 64],
    [5000, 256],
    [70_000, 60],
    [3000, 1024],
  ])("sorts %i items by %i keys, stable, and leaves others out", (items, numKeys) =>
    expectSorted(randomKeys(items, numKeys, items), numKeys),
  );

  test.each([
    [5000, 1025],
    [3000, 65_535],
    [3000, 65_536],
    [40_000, 300_000],
    [9, 1_000_000],
  ])("sorts %i items by %i keys in several passes", (items, numKeys) =>
    expectSorted(randomKeys(items, numKeys, items), numKeys),
  );

  test("sorts items and keys of any number", async () => {
    const next = uniform(5);
    for (let round = 0; round < 40; round++) {
      const items = Math.floor(2 ** (11 * next()));
      const numKeys = Math.floor(2 ** (14 * next()));
      await expectSorted(randomKeys(items, numKeys, round), numKeys);
    }
  });

  test("keeps the order of items that all have the same key", () => expectSorted(new Uint32Array(1000).fill(5), 6));

  test("leaves all out when no key is in range", () => expectSorted(new Uint32Array(300).fill(NONE), 5000));

  test("no items give no slots, no keys leave all items out", async () => {
    await expectSorted(new Uint32Array(), 4);
    await expectSorted(new Uint32Array(), 4000);
    await expectSorted(Uint32Array.of(0, 1, NONE), 0);
  });
});
