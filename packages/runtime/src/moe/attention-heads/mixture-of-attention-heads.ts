import type { Device } from "../../device/device.ts";
import { ShapeError } from "../../device/errors.ts";
import type { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import type { AttentionContext } from "../../nn/transformer/self-attention.ts";
import { type AttentionOptions, attention } from "../../ops/attention.ts";
import { permute, reshape, split } from "../../ops/layout.ts";
import { rotary } from "../../ops/rotary.ts";
import { expectShape, formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { RouteContext } from "../routers/router.ts";
import type { Routing } from "../routing.ts";
import type { AttentionHeadExperts } from "./attention-head-experts.ts";

type F32 = Tensor<"f32">;

/** What weighs values by queries and keys: q [B, T, A, D], k and v [B, S, Akv, D] to [B, T, A, D]; neighbouring heads share keys. */
export type Attend = (q: F32, k: F32, v: F32, options: AttentionOptions) => F32;

export interface AttentionHeadsOptions<State> {
  experts: AttentionHeadExperts<State>;
  /** From H to keys and then values, 2 · G · D, or one projection each. */
  keyValue: Linear | readonly [Linear, Linear];
  /** Default: causal softmax attention. */
  attend?: Attend;
  /** Default: JetMoE's experts and kv_proj; k_proj and v_proj for two projections. */
  names?: { experts?: string; keyValue?: string; key?: string; value?: string };
}

export interface AttentionHeadsContext<State> extends Omit<AttentionContext, "cos" | "sin">, RouteContext {
  /** Tables of rotary positions; without them queries and keys stay as they are. */
  rotary?: Pick<AttentionContext, "cos" | "sin"> | undefined;
  state?: State | undefined;
}

/**
 * Self-attention in which each token chooses K of E experts for its queries and outputs, over keys and values that all experts
 * share. Query head g of any chosen expert reads key/value head g, so that a cache holds G heads whatever K is.
 * @see Zhang et al. 2022, arXiv:2210.05144; as in JetMoE (Shen et al. 2024, arXiv:2404.07413) and ModuleFormer (arXiv:2306.04640);
 *   with K = E, BAM's soft routing over shared keys and values (Zhang et al. 2024, arXiv:2408.08274)
 */
export class MixtureOfAttentionHeads<State = undefined> extends Module {
  readonly experts: AttentionHeadExperts<State>;
  /** One projection to keys and then values, or one each. */
  readonly keyValue: Linear | readonly [Linear, Linear];
  readonly #attend: Attend;

  /** @throws {ShapeError} when a projection does not fit the experts' heads */
  constructor(device: Device, { experts, keyValue, attend = attention, names = {} }: AttentionHeadsOptions<State>) {
    super(device);
    this.experts = this.child(names.experts ?? "experts", experts);
    this.#attend = attend;
    const width = experts.headsPerExpert * experts.headDim;
    const registered = (name: string, projection: Linear, outFeatures: number) => {
      const shape = [outFeatures, experts.router.hiddenSize];
      expectShape("MixtureOfAttentionHeads", `${name}.weight`, projection.weight.shape, shape);
      return this.child(name, projection);
    };
    this.keyValue =
      "forward" in keyValue
        ? registered(names.keyValue ?? "kv_proj", keyValue, 2 * width)
        : [
            registered(names.key ?? "k_proj", keyValue[0], width),
            registered(names.value ?? "v_proj", keyValue[1], width),
          ];
  }

  #keysAndValues(x: F32): [F32, F32] {
    if ("forward" in this.keyValue) {
      const both = this.keyValue.forward(x);
      return split(both, -1, [both.axis(-1) / 2, both.axis(-1) / 2]) as [F32, F32];
    }
    return [this.keyValue[0].forward(x), this.keyValue[1].forward(x)];
  }

  /**
   * @param x [B, T, H]
   * @param context.mask [B · T] for the router; keyMask [B, S] for the attention
   * @returns y [B, T, H], and the routing of B · T tokens
   */
  forward(x: F32, context: AttentionHeadsContext<State> = {}): { y: F32; routing: Routing<State> } {
    const { rotary: tables, keyMask, cache, ...routeContext } = context;
    const [B, T, H] = [x.axis(0), x.axis(1), x.axis(2)];
    const { headsPerExpert: G, headDim: D, router } = this.experts;
    if (x.rank !== 3 || H !== router.hiddenSize)
      throw new ShapeError(`MixtureOfAttentionHeads: x ${formatShape(x.shape)} must be [B, T, ${router.hiddenSize}]`);
    const offset = cache?.length ?? 0;
    const turn = (heads: F32) => (tables ? rotary(heads, tables.cos, tables.sin, { offset }) : heads);
    const { queries, routing } = this.experts.queries(reshape(x, [B * T, H]), routeContext);
    const K = queries.axis(1);
    // The K queries of a key/value head become neighbours, as the attention expects them.
    const q = turn(reshape(permute(queries, [0, 2, 1, 3]), [B, T, G * K, D]));
    const [keys, values] = this.#keysAndValues(x);
    const [k, v] = [turn(reshape(keys, [B, T, G, D])), reshape(values, [B, T, G, D])];
    const past = cache?.append(k, v);
    const mixed = past
      ? this.#attend(q, past.k, past.v, { causal: true, keyMask, keyLength: past.length, queryOffset: offset })
      : this.#attend(q, k, v, { causal: true, keyMask });
    const perChoice = permute(reshape(mixed, [B * T, G, K, D]), [0, 2, 1, 3]);
    return { y: reshape(this.experts.combine(perChoice, routing), [B, T, H]), routing };
  }
}
