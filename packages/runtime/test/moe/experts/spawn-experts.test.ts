import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { MoeLayer, SwigluExperts, spawnExperts, TopKRouter } from "../../../src/moe/index.ts";
import { SwigluFeedForward } from "../../../src/nn/index.ts";
import { RandomKey, scope, tensor } from "../../../src/tensor/index.ts";

const device = await testDevice();

const sizes = { hiddenSize: 8, intermediateSize: 12, numExperts: 4 };
const bankOf = () => new SwigluExperts(device, sizes).initialize(new RandomKey(1));

describe("spawnExperts", () => {
  test("masks each copy of the chosen expert by itself, the same again under the same key", async () => {
    using bank = bankOf();
    const [, , source] = chunks(await bank.up.read());
    await spawnExperts(bank, { from: 2, maskRate: 0.25, key: new RandomKey(7) });
    const copies = chunks(await bank.up.read());
    for (const copy of copies) {
      const masked = copy.filter((value, i) => value !== source?.[i]);
      expect([...new Set(masked)]).toEqual([0]);
      expect(masked.length / copy.length).toBeGreaterThan(0.1);
      expect(masked.length / copy.length).toBeLessThan(0.45); // 96 draws: ± 0.2 is more than four deviations
    }
    expect(new Set(copies.map(String)).size).toBe(sizes.numExperts);
    using again = bankOf();
    await spawnExperts(again, { from: 2, maskRate: 0.25, key: new RandomKey(7) });
    expect(chunks(await again.up.read())).toEqual(copies);
  });

  test("without a mask the layer is the dense block, where weights sum to 1", async () => {
    using bank = bankOf();
    await spawnExperts(bank, { maskRate: 0, key: new RandomKey(7) });
    using dense = new SwigluFeedForward(device, sizes);
    for (const [name, parameter] of dense.parameters()) {
      const own = await bank.parameters().get(name.replace(".weight", ""))?.read();
      parameter.write((own as Float32Array<ArrayBuffer>).slice(0, parameter.size));
    }
    using router = new TopKRouter(device, { ...sizes, topK: 2, normalizeTopK: true }).initialize(new RandomKey(3));
    const layer = new MoeLayer(device, { router, experts: bank });
    const x = tensor(device, Float32Array.from(uniformArray(5 * 8, 2)), [5, 8]);
    const [y, expected] = await Promise.all(scope(() => [layer.forward(x).y.read(), dense.forward(x).read()]));
    expectClose("y", y as Float32Array, Float64Array.from(expected as Float32Array), 1e-6);
  });

  test.each([
    [{ from: 4 }, "expert 4 of 4"],
    [{ maskRate: 1.5 }, "mask rate 1.5"],
  ])("%o is an error", async (options, message) => {
    using bank = bankOf();
    await expect(spawnExperts(bank, { ...options, key: new RandomKey(1) })).rejects.toThrow(message);
  });
});

function chunks(values: Float32Array): Float32Array[] {
  const size = values.length / sizes.numExperts;
  return Array.from({ length: sizes.numExperts }, (_, e) => values.slice(e * size, (e + 1) * size));
}
