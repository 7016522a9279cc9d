export * from "./elementwise.ts";
export * from "./matmul.ts";
export * from "./reduction.ts";
export { combineLinear, expandLinear, type GroupedRows } from "./row-groups.ts";
export { differentiable, type Gradient, stopGradient, Tape, type Vjp } from "./tape.ts";
export { unfold } from "./unfold.ts";
