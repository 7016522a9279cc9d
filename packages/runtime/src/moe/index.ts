export { AttentionHeadExperts, type AttentionHeadExpertsOptions } from "./attention-heads/attention-head-experts.ts";
export {
  type AttentionExpert,
  MixtureOfAttention,
  type MixtureOfAttentionContext,
  type MixtureOfAttentionOptions,
} from "./attention-heads/mixture-of-attention.ts";
export {
  type Attend,
  type AttentionHeadsContext,
  type AttentionHeadsOptions,
  MixtureOfAttentionHeads,
} from "./attention-heads/mixture-of-attention-heads.ts";
export { stickBreakingAttention } from "./attention-heads/stick-breaking-attention.ts";
export { type CapacityOptions, evenShareCapacity, type VisionCapacityOptions, visionCapacity } from "./capacity.ts";
export { LOSS_COEFFICIENTS } from "./coefficients.ts";
export { CometRouter, type CometRouterOptions } from "./comet/comet-router.ts";
export { DSelectKRouter, type DSelectKRouterOptions, reachabilityLoss } from "./comet/dselect-k-router.ts";
export {
  assignments,
  cooling,
  PermutationLearner,
  type PermutationLearnerOptions,
  permutationEntropy,
} from "./comet/permutation-learner.ts";
export { PermutedRouter } from "./comet/permuted-router.ts";
export { type SelectorContext, type SelectorRouting, selectorEntropy } from "./comet/selector-routing.ts";
export { Experts, type ExpertsOptions } from "./experts/experts.ts";
export { FASTMOE_EXPERT_NAMES, MlpExperts, type MlpExpertsOptions } from "./experts/mlp-experts.ts";
export { type SpawnOptions, spawnExperts } from "./experts/spawn-experts.ts";
export { SwigluExperts } from "./experts/swiglu-experts.ts";
export {
  type ZeroComputation,
  ZeroComputationExperts,
  type ZeroComputationExpertsOptions,
} from "./experts/zero-computation-experts.ts";
export {
  groupImportance,
  groupLoad,
  type ImportanceOptions,
  importanceLoss,
  type LoadOptions,
  loadLoss,
} from "./importance-losses.ts";
export {
  type AuxLossOptions,
  type BalanceForm,
  balanceLoss,
  deviceBalanceLoss,
  entropyLoss,
  groupBalance,
  sequenceBalanceLoss,
  zLoss,
} from "./losses.ts";
export { MoeLayer, type MoeLayerOptions } from "./moe-layer.ts";
export { type MomentumOptions, type MomentumState, momentumStep, robustCoefficients } from "./momentum.ts";
export { ExpertMask, type ExpertPair, type MaskedExperts } from "./monet/expert-mask.ts";
export { domainExperts, ExpertUsage, topExperts } from "./monet/expert-usage.ts";
export type { HeadStatistics } from "./monet/head-norm.ts";
export { HorizontalExperts } from "./monet/horizontal-experts.ts";
export { type MonetActivation, MonetExperts, type MonetExpertsOptions } from "./monet/monet-experts.ts";
export { ambiguityLoss, uniformityLoss } from "./monet/monet-losses.ts";
export { MonetRouter, type MonetRouterOptions, type ProductRouting } from "./monet/monet-router.ts";
export { VerticalExperts } from "./monet/vertical-experts.ts";
export { combinePadded, dispatchPadded } from "./padded.ts";
export { NONE, type PlanOptions, planTopK, type RoutingPlan } from "./plan.ts";
export { BalancedAssignmentRouter, type BalancedAssignmentRouterOptions } from "./routers/balanced-assignment.ts";
export { CapacityTopKRouter, type CapacityTopKRouterOptions } from "./routers/capacity-top-k.ts";
export { CosineTopKRouter, type CosineTopKRouterOptions } from "./routers/cosine-top-k.ts";
export {
  annealedTemperature,
  type DenseToSparseContext,
  DenseToSparseRouter,
  type DenseToSparseRouterOptions,
  denseToSparseLoss,
  type TemperatureOptions,
} from "./routers/dense-to-sparse.ts";
export { ExpertChoiceRouter, type ExpertChoiceRouterOptions } from "./routers/expert-choice.ts";
export {
  type GatingResidual,
  GatingResidualRouter,
  type GatingResidualRouterOptions,
  type HeterogeneousBalanceOptions,
  heterogeneousBalanceLoss,
} from "./routers/gating-residual.ts";
export { GroupLimitedRouter, type GroupLimitedRouterOptions } from "./routers/group-limited.ts";
export { type GShardContext, GShardRouter, type GShardRouterOptions } from "./routers/gshard.ts";
export { HashRouter, type HashRouterOptions } from "./routers/hash.ts";
export { balancedHashTable, randomHashTable } from "./routers/hash-table.ts";
export { type NoisyTopKContext, NoisyTopKRouter, type NoisyTopKRouterOptions } from "./routers/noisy-top-k.ts";
export { NullExpertsRouter, type NullExpertsRouterOptions, nullBalanceLoss } from "./routers/null-experts.ts";
export { type PreGatedRoute, PreGatedRouter, type PreGatedRouterOptions } from "./routers/pre-gated.ts";
export {
  type ActiveExpertsOptions,
  numActiveExperts,
  RandomFixedRouter,
} from "./routers/random-fixed.ts";
export {
  GruCell,
  RecurrentRouter,
  type RecurrentRouterOptions,
  type RecurrentState,
  RnnCell,
  RouterCell,
} from "./routers/recurrent.ts";
export { type RouteContext, Router, type RouterOptions } from "./routers/router.ts";
export { SigmoidTopKRouter, type SigmoidTopKRouterOptions } from "./routers/sigmoid-top-k.ts";
export {
  consistencyLoss,
  type StochasticContext,
  type StochasticInference,
  StochasticRouter,
  type StochasticRouterOptions,
} from "./routers/stochastic.ts";
export { type SwitchContext, SwitchRouter, type SwitchRouterOptions } from "./routers/switch.ts";
export { TemperatureRouter, type TemperatureRouterOptions } from "./routers/temperature.ts";
export { TopKRouter, type TopKRouterOptions } from "./routers/top-k.ts";
export { TopPRouter, type TopPRouterOptions } from "./routers/top-p.ts";
export {
  type VisionContext,
  VisionRouter,
  type VisionRouterOptions,
  VMoeRouter,
  type VMoeRouterOptions,
} from "./routers/v-moe.ts";
export { mergeDuplicates, type Routing, type RoutingNoise, sparseRouting } from "./routing.ts";
export { type ServingStatistics, servingStatistics } from "./serving-statistics.ts";
export { type RoutingStatistics, routingStatistics, type StatisticsOptions } from "./statistics.ts";
export { formatTrace, parseTrace, type Trace, type TraceHeader, type TraceVisit, traceVisits } from "./trace.ts";
export {
  composeAttention,
  composeFeedForward,
  type DenseAttention,
  type DenseFeedForward,
  type DenseLinear,
  decomposeAttention,
  decomposeFeedForward,
} from "./union-of-experts/decompose.ts";
export { type UnionFlops, unionAttentionFlops, unionFeedForwardFlops } from "./union-of-experts/flops.ts";
export type { GateForm } from "./union-of-experts/gate-form.ts";
export { SwitchGate, type SwitchGateOptions, type SwitchScores } from "./union-of-experts/switch-gate.ts";
export { type SelectionRule, selectTokens, type TokenSelection } from "./union-of-experts/token-selection.ts";
export {
  UnionAttention,
  type UnionAttentionContext,
  type UnionAttentionOptions,
} from "./union-of-experts/union-attention.ts";
export type { UnionOptions, UnionOutput } from "./union-of-experts/union-block.ts";
export {
  UnionExpertSelection,
  type UnionExpertSelectionOptions,
} from "./union-of-experts/union-expert-selection.ts";
export {
  UnionFeedForward,
  type UnionFeedForwardContext,
  type UnionFeedForwardOptions,
} from "./union-of-experts/union-feed-forward.ts";
