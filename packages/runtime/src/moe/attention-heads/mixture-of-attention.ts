import type { Device } from "../../device/device.ts";
import { ShapeError } from "../../device/errors.ts";
import { arange } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { Module } from "../../nn/module.ts";
import type { AttentionContext, KeyValueStore } from "../../nn/transformer/self-attention.ts";
import { add, multiply } from "../../ops/elementwise.ts";
import { reshape, slice } from "../../ops/layout.ts";
import { sum } from "../../ops/reduction.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import type { RouteContext, Router } from "../routers/router.ts";
import type { Routing } from "../routing.ts";

type F32 = Tensor<"f32">;

/** A whole attention layer, such as SelfAttention. */
export interface AttentionExpert extends Module {
  forward(x: F32, context: AttentionContext): F32;
}

export interface MixtureOfAttentionOptions<State> {
  /** Its K is E for soft routing; with a smaller one the other experts' gates are 0. */
  router: Router<State>;
  /** One an expert, of one hidden size. */
  experts: readonly AttentionExpert[];
  /** Default: router and experts (experts.0, experts.1, …). */
  names?: { router?: string; experts?: string };
}

export interface MixtureOfAttentionContext<State> extends Omit<AttentionContext, "cache">, RouteContext {
  /** One an expert: each has keys and values of its own. */
  caches?: readonly KeyValueStore[] | undefined;
  state?: State | undefined;
}

/**
 * A mixture of whole attention layers with keys and values of their own: y = Σ_e g_e(x) · MHA_e(x), the gate taken at the query's
 * token and applied behind the output projection. All experts run whatever K is, since later queries may need their keys; with
 * keys and values in common, MixtureOfAttentionHeads runs the chosen ones alone.
 * @see Zhang et al. 2024, arXiv:2408.08274 (BAM)
 */
export class MixtureOfAttention<State = undefined> extends Module {
  readonly router: Router<State>;
  readonly experts: readonly AttentionExpert[];

  constructor(device: Device, { router, experts, names = {} }: MixtureOfAttentionOptions<State>) {
    super(device);
    if (experts.length !== router.numExperts)
      throw new ShapeError(
        `MixtureOfAttention: the router chooses among ${router.numExperts} experts, there are ${experts.length}`,
      );
    this.router = this.child(names.router ?? "router", router);
    this.experts = this.children(names.experts ?? "experts", [...experts]);
  }

  /**
   * @param x [B, T, H]
   * @returns y [B, T, H], and the routing of B · T tokens
   * @throws {ShapeError} unless there is a cache for each expert, or none
   */
  forward(x: F32, context: MixtureOfAttentionContext<State>): { y: F32; routing: Routing<State> } {
    const { cos, sin, keyMask, caches, state, ...routeContext } = context;
    if (caches && caches.length !== this.experts.length)
      throw new ShapeError(`MixtureOfAttention: ${caches.length} caches for ${this.experts.length} experts`);
    if (x.rank !== 3 || x.axis(2) !== this.router.hiddenSize)
      throw new ShapeError(`MixtureOfAttention: x ${formatShape(x.shape)} must be [B, T, ${this.router.hiddenSize}]`);
    const [B, T, H] = [x.axis(0), x.axis(1), x.axis(2)];
    const routing = this.router.route(reshape(x, [B * T, H]), state, routeContext);
    const gates = denseGates(routing, this.router); // [N, E]
    const parts = this.experts.map((expert, e) => {
      const y = expert.forward(x, { cos, sin, keyMask, cache: caches?.[e] });
      return multiply(y, reshape(slice(gates, 1, e, 1), [B, T, 1]));
    });
    return { y: parts.reduce(add), routing };
  }
}

/** The weight of every expert for every token, 0 where it was not chosen: [N, E]. */
function denseGates({ plan, weights }: Routing, { numExperts, topK: K }: { numExperts: number; topK: number }): F32 {
  const { numTokens: N, maxAssignments, assignmentExpert, compact } = plan;
  if (compact || maxAssignments !== N * K)
    throw new ShapeError(
      `MixtureOfAttention: the router made ${maxAssignments} assignments of ${N} tokens, expected ${K} for each`,
    );
  const chosen = viewOf(assignmentExpert, [N, K, 1]);
  const isExpert = map("select(T(0.0), T(1.0), a == b)", [chosen, arange(chosen.device, numExperts, "u32")]); // [N, K, E]
  return sum(multiply(isExpert, reshape(weights, [N, K, 1])), 1);
}
