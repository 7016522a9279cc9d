import { adamwUpdate, gradientControl } from "../../kernels/adamw.ts";
import { zeros } from "../../kernels/fill.ts";
import { kvAppend } from "../../kernels/kv-append.ts";
import { randomNormal, randomUniform } from "../../kernels/random.ts";
import { RandomKey } from "../../tensor/philox.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { dropout } from "../dropout.ts";
import { at } from "./references.ts";
import type { SelfTestCase } from "./self-test.ts";

type F32 = Tensor<"f32">;

const KEY = new RandomKey(7);

/** Random numbers, and the kernels that change tensors in place. */
export const STATE_CASES: readonly SelfTestCase[] = [
  {
    family: "random, uniform",
    tolerance: 0,
    inputs: [],
    run: (device) => [randomUniform(device, KEY, [101])],
    reference: () => [KEY.uniform(101)],
  },
  {
    family: "random, normal",
    tolerance: 1e-5,
    inputs: [],
    run: (device) => [randomNormal(device, KEY, [100])],
    reference: () => [KEY.normal(100)],
  },
  {
    family: "dropout",
    tolerance: 1e-6,
    inputs: [[50]],
    run: (_, x) => [dropout(x, 0.25, KEY)],
    reference: (x) => {
      const chance = KEY.uniform(50);
      return [x.map((v, i) => ((chance[i] ?? 0) < 0.25 ? 0 : v / 0.75))];
    },
    differentiate: true,
  },
  {
    family: "AdamW",
    tolerance: 1e-5,
    inputs: [[30], [30]],
    run: (device, parameter, gradient) => {
      const moments = { first: zeros(device, [30], "f32"), second: zeros(device, [30], "f32") };
      const control = gradientControl([gradient as F32]);
      const step = {
        beta1: 0.9,
        beta2: 0.99,
        rate: 0.1 / (1 - 0.9),
        second: 1 / (1 - 0.99),
        epsilon: 1e-8,
        decay: 0.01,
      };
      adamwUpdate(parameter, moments, gradient as F32, control, step);
      return [parameter, moments.first, moments.second];
    },
    // At the first step the corrected moments are g and g².
    reference: (parameter, gradient) => {
      const g = gradient as Float64Array;
      return [
        parameter.map((p, i) => p - 0.01 * p - 0.1 * (at(g, i) / (Math.abs(at(g, i)) + 1e-8))),
        g.map((v) => 0.1 * v),
        g.map((v) => 0.01 * v * v),
      ];
    },
  },
  {
    family: "key/value append",
    tolerance: 0,
    inputs: [
      [1, 2, 3],
      [1, 2, 3],
    ],
    run: (device, k, v) => {
      const cache = { k: zeros(device, [1, 4, 3], "f32"), v: zeros(device, [1, 4, 3], "f32") };
      kvAppend({ k, v: v as F32 }, cache, 1);
      return [cache.k, cache.v];
    },
    reference: (...rows) => rows.map((data) => [0, 0, 0, ...data, 0, 0, 0]),
  },
];
