import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import { normal } from "../../nn/initializers.ts";
import type { Parameter } from "../../nn/module.ts";
import { add, multiply, scale } from "../../ops/elementwise.ts";
import { reshape, slice, split } from "../../ops/layout.ts";
import { linear, matmul } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import { softmax } from "../../ops/softmax.ts";
import { putAlong } from "../../ops/top-k.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";
import type { Routing } from "../routing.ts";
import { Experts, type ExpertsOptions } from "./experts.ts";
import { SwigluExperts } from "./swiglu-experts.ts";

type F32 = Tensor<"f32">;

/** How many experts of each kind that costs next to nothing. */
export interface ZeroComputation {
  /** α₁ x + α₂ c with a learned vector c and α = softmax(W x). */
  constant?: number;
  /** x */
  copy?: number;
  /** 0 */
  zero?: number;
}

/**
 * The ids of a layer's experts: true ones, constant, copy, zero.
 * @throws {ConfigError} for negative counts, or when no true expert is left
 */
export function zeroComputationIds(numExperts: number, { constant = 0, copy = 0, zero = 0 }: ZeroComputation = {}) {
  const numTrue = numExperts - constant - copy - zero;
  if (![constant, copy, zero].every((n) => Number.isInteger(n) && n >= 0) || numTrue < 1)
    throw new ConfigError(
      `zero-computation experts: ${constant} constant, ${copy} copy and ${zero} zero of ${numExperts} experts leave ${numTrue} true ones, expected counts and at least 1`,
    );
  return { numTrue, constant, copy, zero, firstCopy: numTrue + constant, firstZero: numTrue + constant + copy };
}

export interface ZeroComputationExpertsOptions extends ExpertsOptions, ZeroComputation {
  /** Multiplies what experts see, copies and constants included. Default 1; published models have their topK. */
  inputScale?: number;
}

/**
 * MoE++'s experts: SwiGLU ones, and constant, copy and zero experts, which take no row of the grouped product.
 * @see Jin et al. 2024, arXiv:2410.07348, section 3.1
 */
export class ZeroComputationExperts extends Experts {
  readonly inputScale: number;
  readonly trueExperts: SwigluExperts;
  /** c [n, H] and W [n, 2, H] of the constant experts */
  readonly constant: Parameter | undefined;
  readonly constantGate: Parameter | undefined;
  readonly #ids: ReturnType<typeof zeroComputationIds>;

  constructor(device: Device, { inputScale = 1, constant, copy, zero, ...options }: ZeroComputationExpertsOptions) {
    super(device, options);
    this.#ids = zeroComputationIds(options.numExperts, {
      ...(constant === undefined ? {} : { constant }),
      ...(copy === undefined ? {} : { copy }),
      ...(zero === undefined ? {} : { zero }),
    });
    this.inputScale = inputScale;
    const { numTrue, constant: count } = this.#ids;
    this.trueExperts = this.child("experts", new SwigluExperts(device, { ...options, numExperts: numTrue }));
    if (count === 0) return;
    this.constant = this.parameter("constant", [count, this.hiddenSize], normal(1));
    this.constantGate = this.parameter("constant_gate", [count, 2, this.hiddenSize], options.initializer);
  }

  /** @throws {ConfigError} for ragged choices, which have no [tokens, k] */
  override forward(x: F32, routing: Routing): F32 {
    const { plan, weights } = routing;
    if (plan.compact) throw new ConfigError("ZeroComputationExperts: ragged choices are not supported");
    const input = this.inputScale === 1 ? x : scale(x, this.inputScale);
    const y = this.trueExperts.forward(input, routing);
    const { numTrue, constant: count, copy, firstCopy } = this.#ids;
    if (count + copy === 0 || plan.numTokens === 0) return y;
    const places = [plan.numTokens, plan.maxAssignments / plan.numTokens];
    const gates = putAlong(reshape(weights, places), viewOf(plan.assignmentExpert, places), this.numExperts); // [N, E]
    const kept = copy > 0 ? this.#total(slice(gates, 1, firstCopy, copy)) : undefined; // how much of x is copied, [N, 1]
    if (!this.constant || !this.constantGate) return kept ? add(y, multiply(input, kept)) : y;
    const scores = linear(input, reshape(this.constantGate, [2 * count, this.hiddenSize]));
    const shares = softmax(reshape(scores, [plan.numTokens, count, 2]));
    const weighed = multiply(shares, reshape(slice(gates, 1, numTrue, count), [plan.numTokens, count, 1]));
    const [ofInput, ofConstant] = split(weighed, 2, [1, 1]) as [F32, F32];
    const copied = this.#total(reshape(ofInput, [plan.numTokens, count]));
    const added = matmul(reshape(ofConstant, [plan.numTokens, count]), this.constant);
    return add(y, add(multiply(input, kept ? add(kept, copied) : copied), added));
  }

  #total(gates: F32): F32 {
    return reshape(sum(gates, 1), [gates.axis(0), 1]);
  }
}
