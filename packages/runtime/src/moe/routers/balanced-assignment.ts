import type { Device } from "../../device/device.ts";
import { balancedAssignment } from "../../kernels/balanced-assignment.ts";
import { sigmoid } from "../../ops/elementwise.ts";
import { linear } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import { takeAlong, topK } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import { type Routing, sparseRouting } from "../routing.ts";
import { type RouteContext, Router, type RouterOptions } from "./router.ts";

type F32 = Tensor<"f32">;

export interface BalancedAssignmentRouterOptions extends Omit<RouterOptions, "topK"> {
  /** Tokens that are assigned together, exactly; more are assigned in runs of this many, balanced each. Default 1024 */
  assignmentSize?: number;
}

/**
 * One expert a token by l = W x. In training every expert gets the same number of tokens (within one) and Σ l of the assignment is the
 * largest possible, so that no loss is needed; otherwise each token takes its best expert. The weight is sigmoid(l).
 * @see Lewis et al. 2021, arXiv:2103.16716, section 3 (BASE layers)
 */
export class BalancedAssignmentRouter extends Router {
  /** [E, H]: the experts' embeddings */
  readonly weight = this.parameter("weight", [this.numExperts, this.hiddenSize], this.initializer);
  readonly assignmentSize: number;

  constructor(device: Device, options: BalancedAssignmentRouterOptions) {
    super(device, { ...options, topK: 1 });
    this.assignmentSize = options.assignmentSize ?? 1024;
  }

  override route(x: F32, _state?: undefined, { mask, training }: RouteContext = {}): Routing<undefined> {
    const logits = linear(x, this.weight); // [N, E]
    const indices = training
      ? viewOf(balancedAssignment(logits, { chunk: this.assignmentSize, mask }), [x.axis(0), 1])
      : topK(logits, 1).indices;
    const weights = sigmoid(takeAlong(logits, indices)); // [N, 1]
    return sparseRouting({ indices, weights, probs: softmax(logits), logits, mask });
  }
}
