import type { Initializer } from "../../nn/module.ts";
import { sizeOf } from "../../tensor/shape.ts";

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
