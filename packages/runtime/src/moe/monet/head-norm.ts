import type { Device } from "../../device/device.ts";
import { map } from "../../kernels/map.ts";
import { movingAverage } from "../../kernels/moving-average.ts";
import { reduce } from "../../kernels/reduce.ts";
import { ones, zeros } from "../../nn/initializers.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";

type F32 = Tensor<"f32">;

const EPSILON = 1e-5;
const MOMENTUM = 0.1;

/** Mean and population variance of a batch, [heads] each, and of how many numbers. */
export interface HeadStatistics {
  mean: F32;
  variance: F32;
  count: number;
}

/**
 * Batch normalisation without scale and shift, with one mean and variance a head over all tokens and keys. Its output only selects
 * keys: no gradient passes.
 * @see Ioffe and Szegedy 2015, arXiv:1502.03167
 */
export class HeadNorm extends Module {
  readonly runningMean: Parameter;
  readonly runningVariance: Parameter;
  readonly numBatchesTracked: Parameter;

  constructor(device: Device, numHeads: number) {
    super(device);
    this.runningMean = this.parameter("running_mean", [numHeads], zeros);
    this.runningVariance = this.parameter("running_var", [numHeads], ones);
    this.numBatchesTracked = this.parameter("num_batches_tracked", [], zeros);
    for (const buffer of this.parameters().values()) buffer.trainable = false;
  }

  /** (z − mean) / sqrt(variance + 1e-5). @param z [N, heads, keys] @param statistics Default: the running ones */
  forward(
    z: F32,
    { mean, variance }: Pick<HeadStatistics, "mean" | "variance"> = {
      mean: this.runningMean,
      variance: this.runningVariance,
    },
  ): F32 {
    const wide = (x: F32) => viewOf(x, [x.size, 1]);
    return map("(a - b) * inverseSqrt(c + s0)", [z, wide(mean), wide(variance)], { scalars: [EPSILON] });
  }

  /** Of z [N, heads, keys]. */
  statistics(z: F32): HeadStatistics {
    return scope(() => {
      const overAll = (x: F32) => reduce(reduce(x, "mean", 2), "mean", 0);
      const mean = overAll(z);
      const variance = overAll(map("(a - b) * (a - b)", [z, viewOf(mean, [mean.size, 1])]));
      return { mean, variance, count: z.size / (z.axis(1) || 1) };
    });
  }

  /** Moves the running statistics, in place, a tenth of the way to a batch's, the variance being that of the population it samples. */
  update({ mean, variance, count }: HeadStatistics): void {
    scope(() => {
      movingAverage(this.runningMean, mean, 1 - MOMENTUM);
      const unbiased = map("a * s0", [variance], { scalars: [count / Math.max(1, count - 1)] });
      movingAverage(this.runningVariance, unbiased, 1 - MOMENTUM);
      movingAverage(this.numBatchesTracked, map("a + T(1.0)", [this.numBatchesTracked]), 0);
    });
  }
}
