import type { Device } from "@moebius/runtime/device";
import { type PublishedLayout, parseConfigWith } from "@moebius/runtime/io";
import {
  type GatingResidual,
  GatingResidualRouter,
  heterogeneousBalanceLoss,
  LOSS_COEFFICIENTS,
  MoeLayer,
  ZeroComputationExperts,
} from "@moebius/runtime/moe";
import { normal } from "@moebius/runtime/nn";
import { add, scale } from "@moebius/runtime/ops";
import { z } from "zod";
import { MoeDecoder } from "../decoder.ts";
import { attentionFields, count, decoderFields, flag, positive } from "./fields.ts";
import { llamaDecoder } from "./llama-decoder.ts";

const schema = z
  .object(
    {
      ...decoderFields,
      ...attentionFields,
      model_type: z.literal("MoE++", 'must be "MoE++"').default("MoE++"),
      intermediate_size: count,
      num_experts: z.tuple(
        [z.int().min(5, "must be at least 5: four experts are special")],
        "must be a list of one count",
      ),
      moe_expert_interval: z.literal(1, "must be 1, as in the release").default(1),
      moe_2layer_gate: flag.default(true),
      moe_use_mixtral_gating: flag.default(false),
      moe_use_logits_norm: flag.default(false),
      moe_gate_norm_std: positive.default(1),
      moe_feature_no_mul_topk: flag.default(false),
    },
    "must be an object",
  )
  .loose();

/** Experts that a token takes, and those of the release that compute next to nothing. */
const TOP_K = 2;
const SPECIAL = { constant: 2, copy: 1, zero: 1 };

/**
 * MoE++: of the experts of a layer two are constant, one copies and one is zero, and routers see the scores of the layer before.
 * @throws {ConfigError} naming the key that is wrong
 * @see Jin et al. 2024, arXiv:2410.07348
 */
export function moePlusPlusDecoder(device: Device, published: unknown, source = "config.json"): MoeDecoder {
  const config = parseConfigWith(schema, published, source);
  const { hidden_size: hiddenSize, intermediate_size: intermediateSize } = config;
  const [numExperts] = config.num_experts;
  const numTrueExperts = numExperts - 4;
  const initializer = normal(config.initializer_range);
  const isMixtral = config.moe_use_mixtral_gating;
  const feedForward = () =>
    new MoeLayer<GatingResidual>(device, {
      router: new GatingResidualRouter(device, {
        hiddenSize,
        numExperts,
        topK: TOP_K,
        zeroComputation: SPECIAL,
        hasHiddenLayer: config.moe_2layer_gate,
        gating: isMixtral ? "mixtral" : "softmax",
        ...(config.moe_use_logits_norm ? { scoreDeviation: config.moe_gate_norm_std } : {}),
        initializer,
      }),
      experts: new ZeroComputationExperts(device, {
        hiddenSize,
        numExperts,
        intermediateSize,
        ...SPECIAL,
        inputScale: isMixtral || config.moe_feature_no_mul_topk ? 1 : TOP_K,
        initializer,
      }),
    });
  return new MoeDecoder(device, {
    ...llamaDecoder(device, config, { feedForward, names: { feedForward: "mlp.moe" } }),
    layout: layoutOf(numTrueExperts),
    auxLoss: (routings, { mask }) =>
      scale(
        routings.map((routing) => heterogeneousBalanceLoss(routing, { mask, numTrueExperts })).reduce(add),
        LOSS_COEFFICIENTS.heterogeneousBalance,
      ),
  });
}

/** Gate and up projection are one tensor, rows of the former first; constant experts follow the true ones. */
function layoutOf(numTrueExperts: number): PublishedLayout {
  return (name, shape) => {
    const found = /^(.*\.moe\.experts)\.(experts\.)?(gate_proj|up_proj|down_proj|constant|constant_gate)$/.exec(name);
    if (!found) return [{ name, shape }];
    const [, prefix, , kind] = found;
    const [count = 0, ...rest] = shape;
    const parts = (first: number, suffix: string) =>
      Array.from({ length: count }, (_, i) => ({ name: `${prefix}.experts.${first + i}.${suffix}`, shape: rest }));
    if (kind === "constant") return parts(numTrueExperts, "constant");
    if (kind === "constant_gate") return parts(numTrueExperts, "wg.weight");
    if (kind === "down_proj") return parts(0, "down_proj.weight");
    const [F = 0, H = 0] = rest;
    const rows = kind === "gate_proj" ? ([0, F] as const) : ([F, 2 * F] as const);
    return parts(0, "up_proj.weight").map((part) => ({ ...part, shape: [2 * F, H], rows }));
  };
}
