import type { Device } from "@moebius/runtime/device";
import { MoeLayer, type Router, SwigluExperts } from "@moebius/runtime/moe";
import { normal, SwigluFeedForward } from "@moebius/runtime/nn";
import type { FeedForward } from "../decoder-layer.ts";

export interface DeepseekSizes {
  hidden_size: number;
  intermediate_size: number;
  moe_intermediate_size: number;
  n_routed_experts: number;
  /** How many experts wide the one shared block is. */
  n_shared_experts?: number | null | undefined;
  initializer_range: number;
}

/** A dense block, or fine-grained experts beside shared ones: what all DeepSeek models have. */
export function deepseekBlock(device: Device, config: DeepseekSizes, router: Router | undefined): FeedForward {
  const { hidden_size: hiddenSize, n_routed_experts: numExperts } = config;
  const expertSize = config.moe_intermediate_size;
  const initializer = normal(config.initializer_range);
  const dense = (intermediateSize: number) =>
    new SwigluFeedForward(device, { hiddenSize, intermediateSize, initializer });
  if (!router) return dense(config.intermediate_size);
  return new MoeLayer(device, {
    router,
    experts: new SwigluExperts(device, { hiddenSize, numExperts, intermediateSize: expertSize, initializer }),
    ...(config.n_shared_experts ? { sharedExpert: dense(config.n_shared_experts * expertSize) } : {}),
    names: { sharedExpert: "shared_experts" },
  });
}
