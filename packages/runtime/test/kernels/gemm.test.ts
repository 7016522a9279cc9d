import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { gemm } from "../../src/kernels/gemm.ts";
import { gemmTransposed } from "../../src/kernels/gemm-transposed.ts";
import { scope, tensor } from "../../src/tensor/index.ts";
import { describeGemm } from "./gemm-cases.ts";

const device = await testDevice();

describe("gemm", () => describeGemm(device, device.subgroupSize));

describe.skipIf(device.subgroupSize === 0)("gemm on packed operands", () =>
  describeGemm(device, device.subgroupSize, true),
);

// All cases of these kernels are in gemm.slow.test.ts: each costs its compilation.
test("the kernels without subgroups agree with the device's own", async () => {
  const random = (seed: number, ...shape: number[]) =>
    tensor(
      device,
      Float32Array.from(
        uniformArray(
          shape.reduce((x, y) => x * y, 1),
          seed,
        ),
      ),
      shape,
    );
  const groups = {
    groupOffsets: tensor(device, Uint32Array.of(0, 5, 5, 19)),
    numGroups: 3,
    numRows: 19,
    sourceRow: tensor(
      device,
      Uint32Array.from({ length: 19 }, (_, row) => (row * 5) % 11),
    ),
  };
  const [a, b, bank, rows] = [random(1, 40, 36), random(2, 36, 44), random(3, 3, 7, 9), random(4, 19, 7)];
  const x = random(5, 11, 9);
  const results = [device.subgroupSize, 0].map((subgroupSize) => {
    const { reads } = scope(() => ({
      reads: [
        gemm(a, b, { order: "in-major", subgroupSize }),
        gemm(x, bank, { order: "out-major", groups, subgroupSize }),
        gemmTransposed(rows, x, { groups, gathered: "b", subgroupSize }),
      ].map((c) => c.read()),
    }));
    return Promise.all(reads);
  });
  const [own = [], plain = []] = await Promise.all(results);
  for (const [k, name] of ["dense", "grouped", "transposed"].entries())
    expectClose(name, plain[k] ?? [], own[k] ?? [], 2e-6);
});

describe("gemm refuses", () => {
  const ones = (...shape: number[]) =>
    tensor(device, new Float32Array(shape.reduce((x, y) => x * y, 1)).fill(1), shape);
  const groups = { groupOffsets: tensor(device, new Uint32Array(3)), numGroups: 2, numRows: 4 };
  test.each([
    [
      "a batch of another shape",
      () => gemm(ones(2, 3, 4), ones(3, 4, 5), { order: "in-major" }),
      "leading axes differ",
    ],
    ["a bank of too few matrices", () => gemm(ones(4, 4), ones(3, 4, 5), { order: "in-major", groups }), "bank of 2"],
    ["rows that differ", () => gemmTransposed(ones(5, 2), ones(4, 2)), "rows differ"],
    ["a target of another shape", () => gemm(ones(5, 2), ones(2, 3), { order: "in-major", into: ones(3, 5) }), "into"],
  ])("%s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});
