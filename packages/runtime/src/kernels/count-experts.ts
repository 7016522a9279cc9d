import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./count-experts.wgsl";
import { reduce } from "./reduce.ts";

const kernel = defineKernel("count-experts", code);

const CHUNK = 512;

export interface CountOptions {
  numExperts: number;
  /** [N] weight of each token. */
  mask?: Tensor<"f32"> | undefined;
  /** Counts only the first choice of each token. */
  firstOnly?: boolean;
}

/** What is counted, of a routing plan. */
export interface Choices {
  /** [A] */
  readonly assignmentExpert: Tensor<"u32">;
  /** [A] */
  readonly assignmentToken: Tensor<"u32">;
  /** [N + 1] */
  readonly tokenOffsets: Tensor<"u32">;
}

/** [E]: how many assignments chose each expert, dropped ones included. */
export function countExperts(
  { assignmentExpert, assignmentToken, tokenOffsets }: Choices,
  { numExperts, mask, firstOnly = false }: CountOptions,
): Tensor<"f32"> {
  const { device } = assignmentExpert;
  const assignments = assignmentExpert.size;
  const chunks = Math.max(1, Math.ceil(assignments / CHUNK));
  const partial = empty(device, [chunks, numExperts], "f32");
  device.dispatch({
    kernel,
    bindings: [
      assignmentExpert.binding(),
      assignmentToken.binding(),
      tokenOffsets.binding(),
      (mask ?? assignmentToken).binding(),
      partial.binding(),
    ],
    params: {
      assignments,
      experts: numExperts,
      chunk: CHUNK,
      chunks,
      first_only: firstOnly ? 1 : 0,
      has_mask: mask ? 1 : 0,
    },
    grid: grid1d(chunks * numExperts, 64),
  });
  const counts = reduce(partial, "sum", 0);
  partial.dispose();
  return counts;
}
