import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { full, ones, zeros } from "../../kernels/fill.ts";
import { gatherRows } from "../../kernels/gather-rows.ts";
import { map } from "../../kernels/map.ts";
import { putAlong } from "../../kernels/take-along.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

export interface HashRouterOptions extends Omit<RouterOptions, "topK" | "initializer"> {
  /** [V] the expert of each token id: see randomHashTable and balancedHashTable. */
  table: ArrayLike<number>;
}

/**
 * The expert of a token is looked up by its id (context.tokenIds) in a fixed table; the weight is 1 and nothing is learned. The
 * table is a frozen parameter, so that checkpoints hold it. Ids beyond the table take no expert.
 * @see Roller et al. 2021, arXiv:2106.04426
 */
export class HashRouter extends Router {
  /** [V] expert ids */
  readonly table;

  /** @throws {ConfigError} naming the first entry that is no expert */
  constructor(device: Device, { table, ...options }: HashRouterOptions) {
    super(device, { ...options, topK: 1 });
    const experts = Float32Array.from(table);
    const odd = experts.findIndex((expert) => !(Number.isInteger(expert) && expert >= 0 && expert < this.numExperts));
    if (odd >= 0)
      throw new ConfigError(
        `HashRouter: table[${odd}] is ${experts[odd]}, expected an expert below ${this.numExperts}`,
      );
    this.table = this.parameter("table", [experts.length], () => experts.slice());
    this.table.trainable = false;
  }

  /** @throws {ShapeError} without an id for each token */
  override route(x: F32, _state?: undefined, { tokenIds, mask }: RouteContext = {}): Routing<undefined> {
    const numTokens = x.axis(0);
    if (tokenIds?.size !== numTokens)
      throw new ShapeError(
        `HashRouter: context.tokenIds ${tokenIds ? formatShape(tokenIds.shape) : "is missing"} for ${numTokens} tokens`,
      );
    const ids = viewOf(tokenIds, [numTokens, 1]);
    const vocabSize = full(this.device, [1], this.table.size, "u32");
    const found = gatherRows(viewOf(this.table, [this.table.size, 1]), viewOf(tokenIds, [numTokens])); // [N, 1]
    const indices = map("select(~(b ^ b), OUT_TYPE(a), b < c)", [found, ids, vocabSize], { dtype: "u32" });
    const weights = ones(this.device, [numTokens, 1], "f32");
    const probs = putAlong(weights, indices, this.numExperts);
    return sparseRouting({ indices, weights, probs, logits: zeros(this.device, probs.shape, "f32"), mask });
  }
}
