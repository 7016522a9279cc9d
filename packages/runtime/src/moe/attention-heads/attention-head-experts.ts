import type { Device } from "../../device/device.ts";
import { ConfigError, ShapeError } from "../../device/errors.ts";
import { type Initializer, zeros } from "../../nn/initializers.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { add } from "../../ops/elementwise.ts";
import { gatherRows } from "../../ops/gather-rows.ts";
import { reshape } from "../../ops/layout.ts";
import { combineLinear, expandLinear } from "../../ops/row-groups.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { RouteContext, Router } from "../routers/router.ts";
import type { Routing } from "../routing.ts";

type F32 = Tensor<"f32">;

export interface AttentionHeadExpertsOptions<State> {
  router: Router<State>;
  /** Query heads of one expert (G), as many as there are key/value heads. */
  headsPerExpert: number;
  headDim: number;
  /** Whether a bias [H] is added to each token's output, once however many experts it has. Default false. */
  bias?: boolean;
  initializer?: Initializer;
  /** Default: JetMoE's router.layer, input_linear.weight, output_linear.weight, bias. */
  names?: { router?: string; query?: string; output?: string; bias?: string };
}

/**
 * The sparse half of a mixture of attention heads: experts are pairs of a query and an output projection, of which each token takes
 * K. Keys and values are outside, shared by all.
 * @see Zhang et al. 2022, arXiv:2210.05144
 */
export class AttentionHeadExperts<State = undefined> extends Module {
  readonly router: Router<State>;
  readonly headsPerExpert: number;
  readonly headDim: number;
  /** [E, G · D, H] */
  readonly query: Parameter;
  /** [E, H, G · D] */
  readonly output: Parameter;
  /** [H] */
  readonly bias: Parameter | undefined;

  constructor(device: Device, options: AttentionHeadExpertsOptions<State>) {
    super(device);
    const { router, headsPerExpert, headDim, bias = false, initializer, names = {} } = options;
    if (![headsPerExpert, headDim].every((n) => Number.isInteger(n) && n >= 1))
      throw new ConfigError(
        `AttentionHeadExperts: sizes must be positive integers, got headsPerExpert=${headsPerExpert}, headDim=${headDim}`,
      );
    const { numExperts: E, hiddenSize: H } = router;
    const width = headsPerExpert * headDim;
    this.router = this.child(names.router ?? "router.layer", router);
    this.headsPerExpert = headsPerExpert;
    this.headDim = headDim;
    this.query = this.parameter(names.query ?? "input_linear.weight", [E, width, H], initializer);
    this.output = this.parameter(names.output ?? "output_linear.weight", [E, H, width], initializer);
    this.bias = bias ? this.parameter(names.bias ?? "bias", [H], zeros) : undefined;
  }

  /**
   * The queries of each token's experts: q[n, k] = W_query[e(n, k)] x[n]. A dropped choice has zeros.
   * @param x [N, H]
   * @returns queries [N, K, G, D], and the routing for `combine`
   * @throws {ShapeError} when the router does not give each token topK assignments
   */
  queries(x: F32, { state, ...context }: RouteContext & { state?: State | undefined } = {}) {
    const routing = this.router.route(x, state, context);
    const [N, K] = [x.axis(0), this.router.topK];
    if (routing.plan.compact || routing.plan.maxAssignments !== N * K)
      throw new ShapeError(
        `AttentionHeadExperts: the router made ${routing.plan.maxAssignments} assignments of ${N} tokens, expected ${K} for each`,
      );
    const grouped = expandLinear(x, this.query, routing.plan);
    const queries = gatherRows(grouped, routing.plan.assignmentSlot); // [A, G · D] in token order
    return { queries: reshape(queries, [N, K, this.headsPerExpert, this.headDim]), routing };
  }

  /** y[n] = Σ_k weight(n, k) · W_output[e(n, k)] mixed[n, k] (+ bias). @param mixed [N, K, G, D] @returns [N, H] */
  combine(mixed: F32, { plan, weights }: Routing<State>): F32 {
    const width = this.headsPerExpert * this.headDim;
    if (mixed.size !== plan.maxAssignments * width)
      throw new ShapeError(
        `AttentionHeadExperts: mixed ${formatShape(mixed.shape)} for ${plan.maxAssignments} assignments of ${width} values`,
      );
    const grouped = gatherRows(reshape(mixed, [plan.maxAssignments, width]), plan.slotAssignment);
    const y = combineLinear(grouped, this.output, weights, plan);
    return this.bias ? add(y, this.bias) : y;
  }
}
