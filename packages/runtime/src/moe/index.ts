export { type CapacityOptions, evenShareCapacity, type VisionCapacityOptions, visionCapacity } from "./capacity.ts";
export { Experts, type ExpertsOptions } from "./experts/experts.ts";
export { GeluExperts } from "./experts/gelu-experts.ts";
export { SwigluExperts } from "./experts/swiglu-experts.ts";
export {
  groupImportance,
  groupLoad,
  type ImportanceOptions,
  importanceLoss,
  type LoadOptions,
  loadLoss,
} from "./importance-losses.ts";
export { type AuxLossOptions, type BalanceForm, balanceLoss, groupBalance, zLoss } from "./losses.ts";
export { MoeLayer, type MoeLayerOptions } from "./moe-layer.ts";
export { combinePadded, dispatchPadded } from "./padded.ts";
export { NONE, type PlanOptions, planTopK, type RoutingPlan } from "./plan.ts";
export { BalancedAssignmentRouter, type BalancedAssignmentRouterOptions } from "./routers/balanced-assignment.ts";
export { CapacityTopKRouter, type CapacityTopKRouterOptions } from "./routers/capacity-top-k.ts";
export { CosineTopKRouter, type CosineTopKRouterOptions } from "./routers/cosine-top-k.ts";
export { ExpertChoiceRouter, type ExpertChoiceRouterOptions } from "./routers/expert-choice.ts";
export { type GShardContext, GShardRouter, type GShardRouterOptions } from "./routers/gshard.ts";
export { HashRouter, type HashRouterOptions } from "./routers/hash.ts";
export { balancedHashTable, randomHashTable } from "./routers/hash-table.ts";
export { type NoisyTopKContext, NoisyTopKRouter, type NoisyTopKRouterOptions } from "./routers/noisy-top-k.ts";
export { type RouteContext, Router, type RouterOptions } from "./routers/router.ts";
export { SigmoidTopKRouter, type SigmoidTopKRouterOptions } from "./routers/sigmoid-top-k.ts";
export { type SwitchContext, SwitchRouter, type SwitchRouterOptions } from "./routers/switch.ts";
export { TopKRouter, type TopKRouterOptions } from "./routers/top-k.ts";
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
