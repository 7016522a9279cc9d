export interface UnionFlops {
  /** Of one sequence, the gate included. */
  flops: number;
  /** Over the flops of the dense block. */
  ofDense: number;
}

interface Selected {
  /** T */
  length: number;
  /** Tokens of a sequence that each expert takes (n). */
  tokensPerExpert: number;
  hiddenSize: number;
  numExperts: number;
}

/** Of a UnionAttention forward: projections cost n/T of the dense ones, scores (n/T)², counted without a causal mask. */
export function unionAttentionFlops({ headDim, ...options }: Selected & { headDim: number }): UnionFlops {
  const { hiddenSize: H, numExperts: E } = options;
  const projections = (tokens: number) => 2 * tokens * 4 * H * E * headDim;
  const scores = (tokens: number) => 2 * 2 * tokens ** 2 * E * headDim;
  return shareOf(options, (tokens) => projections(tokens) + scores(tokens));
}

/** Of a UnionFeedForward forward: n/T of the dense MLP's. */
export function unionFeedForwardFlops({
  intermediateSize: F,
  ...options
}: Selected & { intermediateSize: number }): UnionFlops {
  return shareOf(options, (tokens) => 2 * tokens * 2 * options.hiddenSize * F);
}

function shareOf({ length, tokensPerExpert, hiddenSize, numExperts }: Selected, of: (tokens: number) => number) {
  const flops = of(tokensPerExpert) + 2 * length * hiddenSize * numExperts;
  return { flops, ofDense: flops / of(length) };
}
