import type { Device } from "../device/device.ts";
import { ShapeError } from "../device/errors.ts";
import type { SwigluFeedForward } from "../nn/feed-forward.ts";
import type { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { add, multiply, sigmoid } from "../ops/elementwise.ts";
import { reshape } from "../ops/layout.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Experts } from "./experts/experts.ts";
import type { RouteContext, Router } from "./routers/router.ts";
import type { Routing } from "./routing.ts";

export interface MoeLayerOptions<State> {
  router: Router<State>;
  experts: Experts;
  /** An expert that every token takes. */
  sharedExpert?: SwigluFeedForward;
  /** From H to 1: scales the shared expert by sigmoid(w · x), as Qwen2-MoE and Time-MoE do. */
  sharedExpertGate?: Linear;
  /** Names under which the parts register their parameters. Default: gate, experts, shared_expert, shared_expert_gate. */
  names?: { router?: string; experts?: string; sharedExpert?: string; sharedExpertGate?: string };
}

/** A sparse mixture of experts in the place of a feed-forward block: y = Σ over the chosen e of w_e E_e(x) (+ g(x) · shared(x)). */
export class MoeLayer<State = undefined> extends Module {
  readonly router: Router<State>;
  readonly experts: Experts;
  readonly sharedExpert: SwigluFeedForward | undefined;
  readonly sharedExpertGate: Linear | undefined;

  constructor(device: Device, { router, experts, sharedExpert, sharedExpertGate, names = {} }: MoeLayerOptions<State>) {
    super(device);
    if (router.numExperts !== experts.numExperts || router.hiddenSize !== experts.hiddenSize)
      throw new ShapeError(
        `MoeLayer: the router chooses among ${router.numExperts} experts of width ${router.hiddenSize}, the bank has ${experts.numExperts} of width ${experts.hiddenSize}`,
      );
    this.router = this.child(names.router ?? "gate", router);
    this.experts = this.child(names.experts ?? "experts", experts);
    this.sharedExpert = sharedExpert && this.child(names.sharedExpert ?? "shared_expert", sharedExpert);
    this.sharedExpertGate =
      sharedExpertGate && this.child(names.sharedExpertGate ?? "shared_expert_gate", sharedExpertGate);
  }

  /**
   * @param x [..., H], any leading axes
   * @param state what the layer before passed on
   * @returns y of x's shape, and the routing for losses, statistics, traces and the next layer
   */
  forward(
    x: Tensor<"f32">,
    { state, ...context }: RouteContext & { state?: State | undefined } = {},
  ): { y: Tensor<"f32">; routing: Routing<State> } {
    const { hiddenSize } = this.router;
    if (x.axis(-1) !== hiddenSize)
      throw new ShapeError(`MoeLayer: x ${formatShape(x.shape)} must end in hiddenSize ${hiddenSize}`);
    const tokens = reshape(x, [x.size / hiddenSize, hiddenSize]); // [N, H]
    const routing = this.router.route(tokens, state, context);
    let y = this.experts.forward(tokens, routing);
    if (this.sharedExpert) {
      const shared = this.sharedExpert.forward(tokens);
      y = add(y, this.sharedExpertGate ? multiply(sigmoid(this.sharedExpertGate.forward(tokens)), shared) : shared);
    }
    return { y: reshape(y, x.shape), routing };
  }
}
