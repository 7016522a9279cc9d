import type { Device } from "@moebius/runtime/device";
import {
  FASTMOE_EXPERT_NAMES,
  MlpExperts,
  MoeLayer,
  type MomentumOptions,
  type MomentumState,
  momentumStep,
  TopKRouter,
} from "@moebius/runtime/moe";
import { LayerNorm, Module } from "@moebius/runtime/nn";
import { add } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";
import type { Golden } from "../golden.ts";

type F32 = Tensor<"f32">;

/** Numbers of config.json that shape a MomentumSMoE block. */
export interface MomentumSizes {
  hiddenSize: number;
  intermediateSize: number;
  numExperts: number;
  topK: number;
}

/** The options of the variant, as the reference's command line names them. */
export function momentumOptions(golden: Golden, kind: "momentum" | "adam"): MomentumOptions {
  const shared = { mu: golden.number("mu"), gamma: golden.number("gamma2") };
  if (kind === "momentum") return { kind, ...shared };
  const betas = [golden.number("beta1"), golden.number("beta2")] as const;
  return { kind, ...shared, adamGamma: golden.number("gamma1"), betas };
}

/** The reference's block: FastMoE's gate and experts with biases, a norm, and the residual of its variant. */
export class MomentumBlock extends Module {
  readonly moe: MoeLayer;
  readonly norm: LayerNorm;

  constructor(device: Device, { hiddenSize, intermediateSize, numExperts, topK }: MomentumSizes) {
    super(device);
    this.moe = new MoeLayer(device, {
      router: new TopKRouter(device, { hiddenSize, numExperts, topK, normalizeTopK: true, bias: true }),
      experts: new MlpExperts(device, {
        hiddenSize,
        intermediateSize,
        numExperts,
        activation: "relu",
        bias: true,
        names: FASTMOE_EXPERT_NAMES,
      }),
    });
    this.child("gate.gate", this.moe.router);
    this.child("experts", this.moe.experts);
    this.norm = this.child("layer_norm", new LayerNorm(device, hiddenSize));
  }

  /** @param options absent: the plain residual @returns y, the state for the next block, and the routing */
  forward(x: F32, preNorm: boolean, options?: MomentumOptions, state?: MomentumState) {
    let routing: ReturnType<MoeLayer["forward"]>["routing"] | undefined;
    const f = (input: F32) => {
      const output = this.moe.forward(preNorm ? this.norm.forward(input) : input);
      routing = output.routing;
      return output.y;
    };
    const step = options ? momentumStep(x, f, options, state) : { y: add(x, f(x)), state: undefined };
    return { ...step, y: preNorm ? step.y : this.norm.forward(step.y), routing };
  }
}
