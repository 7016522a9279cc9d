import { adamwUpdate } from "../../kernels/adamw.ts";
import { zeros } from "../../kernels/fill.ts";
import { gradientControl } from "../../kernels/gradient-norm.ts";
import { kvAppend } from "../../kernels/kv-append.ts";
import { ledgerTable } from "../../kernels/ledger.ts";
import { movingAverage } from "../../kernels/moving-average.ts";
import { randomNormal, randomUniform } from "../../kernels/random.ts";
import { sgdUpdate } from "../../kernels/sgd.ts";
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
    family: "SGD",
    tolerance: 1e-5,
    inputs: [[30], [30], [30]],
    run: (_, parameter, velocity, gradient) => {
      const control = gradientControl([gradient as F32], 0.5);
      const step = { rate: 0.1, momentum: 0.9, nesterov: true, decay: 0.01 };
      sgdUpdate(parameter as F32, velocity, gradient as F32, control, step);
      return [parameter as F32, velocity as F32];
    },
    reference: (parameter, velocity, gradient) => {
      const norm = Math.hypot(...(gradient as Float64Array));
      const g = (gradient as Float64Array).map((v) => (v * 0.5) / norm);
      const v = g.map((own, i) => 0.9 * at(velocity, i) + own);
      return [(parameter as Float64Array).map((p, i) => p - 0.1 * (at(g, i) + 0.9 * at(v, i)) - 0.01 * p), v];
    },
  },
  {
    family: "moving average",
    tolerance: 1e-6,
    inputs: [[13], [13]],
    run: (_, average, x) => {
      movingAverage(average, x as F32, 0.75);
      return [average];
    },
    reference: (average, x) => [(average as Float64Array).map((v, i) => 0.75 * v + 0.25 * at(x, i))],
  },
  {
    family: "gradient ledger",
    tolerance: 0,
    inputs: [[2, 5]],
    run: (_, parameter) => [ledgerTable([{ parameter, groups: 2 }])],
    reference: (parameter) => {
      const words = new Uint32Array(Float32Array.from(parameter as Float64Array).buffer);
      const checksum = (part: Uint32Array) => part.reduce((sum, word) => Math.imul(sum ^ word, 0x01000193), 0x811c9dc5);
      return [[0, checksum(words.subarray(0, 5)) >>> 0, 0, checksum(words.subarray(5)) >>> 0]];
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
