import type { RandomKey } from "../tensor/philox.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";

/** Makes the first values of a parameter. */
export type Initializer = (key: RandomKey, shape: Shape) => Float32Array<ArrayBuffer>;

export const zeros: Initializer = (_, shape) => new Float32Array(sizeOf(shape));
export const ones: Initializer = (_, shape) => new Float32Array(sizeOf(shape)).fill(1);

/** Normal numbers with mean 0. */
export function normal(standardDeviation: number): Initializer {
  return (key, shape) => key.normal(sizeOf(shape)).map((x) => x * standardDeviation);
}

/** Uniform numbers within ±bound. */
export function uniform(bound: number): Initializer {
  return (key, shape) => key.uniform(sizeOf(shape)).map((x) => (2 * x - 1) * bound);
}

/** Normal numbers with mean 0, those beyond two deviations drawn again (Fedus et al. 2021, arXiv:2101.03961, section 2.4). */
export function truncatedNormal(standardDeviation: number): Initializer {
  return (key, shape) => {
    const values = key.normal(sizeOf(shape));
    let beyond = [...values.keys()].filter((i) => Math.abs(values[i] as number) > 2);
    for (let round = 0; beyond.length > 0; round++) {
      const again = key.split("beyond").fold(round).normal(beyond.length);
      for (const [k, i] of beyond.entries()) values[i] = again[k] as number;
      beyond = beyond.filter((i) => Math.abs(values[i] as number) > 2);
    }
    return values.map((value) => value * standardDeviation);
  };
}

/** Normal numbers with variance 2 / (in + out), the lengths of the last two axes (Glorot and Bengio 2010, proceedings.mlr.press/v9/glorot10a). */
export const xavierNormal: Initializer = (key, shape) => {
  const [inFeatures = 1, outFeatures = 1] = shape.slice(-2);
  const deviation = Math.sqrt(2 / (inFeatures + outFeatures));
  return key.normal(sizeOf(shape)).map((x) => x * deviation);
};
