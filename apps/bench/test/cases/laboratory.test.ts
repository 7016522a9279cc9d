import { matmul } from "@moebius/runtime/ops";
import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { hasLaboratory, laboratoryGemm, laboratoryGemv, STRATEGIES } from "../../src/cases/laboratory.ts";
import { randomTensor } from "../../src/cases/random.ts";

const device = await testDevice();

describe.runIf(hasLaboratory(device))("laboratory", () => {
  const [m, n, k] = [128, 128, 40];
  const b = randomTensor(device, "b", [k, n]);

  test.each(STRATEGIES)("$name: the product is right", async (strategy) => {
    const aT = randomTensor(device, "aT", [k, m]);
    const [values, right] = await Promise.all([aT.read(), b.read()]);
    const product = await laboratoryGemm(aT, b, strategy).read();
    for (const [row, column] of [
      [0, 0],
      [1, 77],
      [63, 64],
      [101, 5],
      [127, 127],
    ] as const) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (values[i * m + row] ?? 0) * (right[i * n + column] ?? 0);
      expect(product[row * n + column]).toBeCloseTo(sum, 4);
    }
    expect(product.every(Number.isFinite)).toBe(true);
  });

  test("the matrix-vector product is right", async () => {
    const x = randomTensor(device, "x", [k]);
    const row = randomTensor(device, "x", [1, k]);
    const [y, expected] = await Promise.all([laboratoryGemv(x, b).read(), matmul(row, b).read()]);
    for (const [i, value] of expected.entries()) expect(y[i]).toBeCloseTo(value, 4);
  });
});
