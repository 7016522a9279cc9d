import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { full } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { reduce } from "../../kernels/reduce.ts";
import type { Initializer } from "../../nn/initializers.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { where } from "../../ops/elementwise.ts";
import { reshape } from "../../ops/layout.ts";
import { softmax } from "../../ops/softmax.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { RouteContext } from "../routers/router.ts";
import { HeadNorm, type HeadStatistics } from "./head-norm.ts";
import { normalQuantile } from "./normal-quantile.ts";

type F32 = Tensor<"f32">;

/** What scores below the threshold become before the softmax. */
const EXCLUDED = -1e10;
/** A threshold that every score passes. */
const LOWEST = -3e38;

/** The gates of a product of keys: the weight of expert (i, j) is Σ over heads h of g1[h, i] · g2[h, j]. It has no plan of rows. */
export interface ProductRouting {
  readonly kind: "product";
  /** [N, heads, M]; rows add up to 1, exactly 0 for keys that are not chosen. */
  readonly g1: F32;
  readonly g2: F32;
  /** [N, heads, M] the normalised scores that keys are chosen by. */
  readonly norm1: F32;
  readonly norm2: F32;
  /** Of the batch, for `updateStatistics`; in training alone. */
  readonly statistics?: readonly [HeadStatistics, HeadStatistics];
}

export interface MonetRouterOptions {
  hiddenSize: number;
  /** M: keys of an axis; the layer has M² experts. */
  keysPerAxis: number;
  numHeads: number;
  /** Keys that stay active a head and axis on average. */
  topK: number;
  initializer?: Initializer;
}

/**
 * Chooses keys on two axes by a quantile in place of a sort. On each axis z = W x [heads, M]; n = z normalised a head by batch
 * statistics; key i is kept where n_i ≥ min(max n, Φ⁻¹(1 − K/M)), so that the best one always is; g = softmax of the kept z.
 * @see Park et al. 2024, arXiv:2412.04139
 */
export class MonetRouter extends Module {
  readonly numHeads: number;
  readonly keysPerAxis: number;
  /** [heads · M, H], head by head. */
  readonly first: Linear;
  readonly second: Linear;
  readonly firstNorm: HeadNorm;
  readonly secondNorm: HeadNorm;
  readonly threshold: number;

  /** @throws {ConfigError} unless 1 ≤ topK ≤ keysPerAxis */
  constructor(device: Device, { hiddenSize, keysPerAxis, numHeads, topK, initializer }: MonetRouterOptions) {
    super(device);
    if (!(topK >= 1 && topK <= keysPerAxis))
      throw new ConfigError(`MonetRouter: need 1 ≤ topK ≤ keysPerAxis, got topK=${topK}, keysPerAxis=${keysPerAxis}`);
    this.numHeads = numHeads;
    this.keysPerAxis = keysPerAxis;
    this.threshold = topK === keysPerAxis ? LOWEST : normalQuantile(1 - topK / keysPerAxis);
    const options = {
      inFeatures: hiddenSize,
      outFeatures: numHeads * keysPerAxis,
      ...(initializer ? { initializer } : {}),
    };
    this.first = this.child("w1", new Linear(device, options));
    this.second = this.child("w2", new Linear(device, options));
    this.firstNorm = this.child("norm1", new HeadNorm(device, numHeads));
    this.secondNorm = this.child("norm2", new HeadNorm(device, numHeads));
  }

  /** The released models were fine-tuned with their routes as they were: freezes both projections, or thaws them. */
  setTrainable(trainable: boolean): void {
    this.first.weight.trainable = trainable;
    this.second.weight.trainable = trainable;
  }

  /**
   * @param x [N, H]
   * @param context.training normalises by the batch's own statistics, so that a token's keys depend on its batch mates
   */
  route(x: F32, { training = false }: Pick<RouteContext, "training"> = {}): ProductRouting {
    if (x.rank !== 2) throw new ShapeError(`MonetRouter: needs x [N, H], got ${formatShape(x.shape)}`);
    const axis = (projection: Linear, norm: HeadNorm) => {
      const z = reshape(projection.forward(x), [x.axis(0), this.numHeads, this.keysPerAxis]);
      const statistics = training ? norm.statistics(z) : undefined;
      const normalised = norm.forward(z, statistics);
      const highest = reduce(normalised, "max", -1, true);
      const kept = map("select(T(0.0), T(1.0), a >= min(b, s0))", [normalised, highest], { scalars: [this.threshold] });
      return { gates: softmax(where(kept, z, full(x.device, [], EXCLUDED, "f32"))), normalised, statistics };
    };
    const [a, b] = [axis(this.first, this.firstNorm), axis(this.second, this.secondNorm)];
    const gates = { kind: "product", g1: a.gates, g2: b.gates, norm1: a.normalised, norm2: b.normalised } as const;
    return a.statistics && b.statistics ? { ...gates, statistics: [a.statistics, b.statistics] } : gates;
  }

  /** After a training step: moves the running statistics towards those of the step's routing. Routing itself never changes them. */
  updateStatistics({ statistics }: ProductRouting): void {
    if (!statistics) return;
    this.firstNorm.update(statistics[0]);
    this.secondNorm.update(statistics[1]);
  }
}
