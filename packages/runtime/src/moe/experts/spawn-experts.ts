import { ConfigError } from "../../device/errors.ts";
import type { RandomKey } from "../../tensor/philox.ts";
import type { Experts } from "./experts.ts";

export interface SpawnOptions {
  /** Which expert the others are copied from. Default 0 */
  from?: number;
  /** Share of each copy's weights that is set to 0, drawn anew for each expert. Default 0.1 */
  maskRate?: number;
  key: RandomKey;
}

/**
 * EvoMoE's expert-diversify phase: every expert of a bank becomes a copy of one, with random weights masked so that the copies differ. The
 * one expert may come from a dense model's feed-forward block. With a mask rate of 0 the layer computes what that block does, wherever
 * gate weights sum to 1.
 * @throws {ConfigError} for an expert that is not there, or a mask rate outside 0 … 1
 * @see Nie et al. 2021, arXiv:2112.14397, section 3.1; the mask rate is not published
 */
export async function spawnExperts(bank: Experts, { from = 0, maskRate = 0.1, key }: SpawnOptions): Promise<void> {
  const { numExperts } = bank;
  if (!(Number.isInteger(from) && from >= 0 && from < numExperts && maskRate >= 0 && maskRate <= 1))
    throw new ConfigError(
      `spawnExperts: expert ${from} of ${numExperts} with mask rate ${maskRate}; expected one that is there, and 0 to 1`,
    );
  for (const [name, parameter] of bank.parameters()) {
    const values = await parameter.read();
    const size = values.length / numExperts;
    const source = values.slice(from * size, (from + 1) * size);
    for (let expert = 0; expert < numExperts; expert++) {
      const draws = key.split(name).fold(expert).uniform(size);
      values.set(
        source.map((value, i) => ((draws[i] as number) < maskRate ? 0 : value)),
        expert * size,
      );
    }
    parameter.write(values);
  }
}
