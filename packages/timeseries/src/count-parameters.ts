import { parseConfig, type TimeMoeConfigInput } from "./config.ts";

export interface ParameterCount {
  total: number;
  /** Those that a token's way through the model touches: k of the E experts of each layer. */
  active: number;
}

/** Parameters of a model, counted without making it. @throws {ConfigError} naming the key that is wrong */
export function countParameters(config: TimeMoeConfigInput): ParameterCount {
  const {
    hidden_size: D,
    input_size: channels,
    intermediate_size: F,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    num_experts: E,
    num_experts_per_tok: K,
    ...rest
  } = parseConfig(config, "TimeMoe config");
  const swiglu = (hidden: number) => 3 * D * hidden;
  const keyValueSize = (D / heads) * keyValueHeads;
  const attention = 2 * D * D + D + 2 * (D * keyValueSize + keyValueSize);
  const sparse = (experts: number) => E * D + experts * swiglu(Math.floor(F / K)) + swiglu(F) + D;
  const points = rest.horizon_lengths.reduce((sum, length) => sum + length, 0);
  const ends = 2 * channels * D + D + channels * points * D; // embedding, final norm, heads
  const of = (experts: number) =>
    ends + rest.num_hidden_layers * (2 * D + attention + (rest.use_dense ? swiglu(F) : sparse(experts)));
  return { total: of(E), active: of(K) };
}
