import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { type MomentumOptions, type MomentumState, momentumStep, robustCoefficients } from "../../src/moe/index.ts";
import { scale, tanh } from "../../src/ops/index.ts";
import { scope, type Tensor, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
type F32 = Tensor<"f32">;

/** Hidden states after each of three layers f(x) = tanh(c x). */
const SLOPES = [0.7, -1.1, 0.4];
function throughDepth(x: F32, options: MomentumOptions): { y: F32; state: MomentumState | undefined } {
  let y = x;
  let state: MomentumState | undefined;
  for (const slope of SLOPES) ({ y, state } = momentumStep(y, (input) => tanh(scale(input, slope)), options, state));
  return { y, state };
}

/** The same on one number, step by step as the paper writes it. */
function reference(start: number, options: MomentumOptions): number {
  let [x, m, p, v] = [start, 0, 0, 0];
  for (const [depth, slope] of SLOPES.entries()) {
    const f = (input: number) => Math.tanh(slope * input);
    if (options.kind === "robust") {
      const { gamma, mu, alpha } = robustCoefficients(options);
      m = mu * m + gamma * f(x - alpha * m);
      x -= m;
      continue;
    }
    const [mu, gamma] = [Number(options.mu), Number(options.gamma)];
    const out = f(x);
    m = mu * m + gamma * out;
    if (options.kind === "momentum" || (depth > 0 && options.layers !== "all")) {
      x -= m;
      continue;
    }
    const [b1, b2] = options.betas ?? [0.9, 0.999];
    p = b1 * p + (1 - b1) * out;
    v = b2 * v + (1 - b2) * out * out;
    x = (1 - (options.weightDecay ?? 1)) * x - (Number(options.adamGamma ?? 1) * p) / Math.sqrt(v + 1e-8);
  }
  return x;
}

describe("momentumStep", () => {
  test.each<[string, MomentumOptions]>([
    ["momentum", { kind: "momentum", mu: 0.7, gamma: 0.8 }],
    ["robust", { kind: "robust", conditionNumber: 4, smoothness: 2, rate: 0.6 }],
    ["Adam first", { kind: "adam", mu: 0.7, gamma: 0.8, adamGamma: 0.5 }],
    ["Adam everywhere", { kind: "adam", mu: 0.7, gamma: 0.8, adamGamma: 0.5, weightDecay: 0.2, layers: "all" }],
  ])("%s follows its recursion, gradients through the whole depth included", async (_, options) => {
    await checkOp(device, {
      op: (x) => throughDepth(x, options).y,
      reference: (x) => x.map((one) => reference(one, options)),
      inputs: [{ shape: [3, 4], low: 0.3, high: 2 }],
      tolerance: 1e-5,
    });
  });

  test("coefficients may be learned", async () => {
    await checkOp(device, {
      op: (x, mu, gamma) => throughDepth(x, { kind: "momentum", mu, gamma }).y,
      reference: (x, mu, gamma) =>
        x.map((one) => reference(one, { kind: "momentum", mu: mu[0] as number, gamma: gamma[0] as number })),
      inputs: [{ shape: [5] }, { shape: [1] }, { shape: [1] }],
    });
  });

  test("the state is γ Σ μ^(l − j) f_j; with μ = 0 and the experts negated it is the plain residual", async () => {
    const data = Float32Array.from(uniformArray(6, 3));
    const { plain, y } = scope(() => {
      const x = tensor(device, data);
      let plain: F32 = x;
      const negated = (slope: number) => (input: F32) => scale(tanh(scale(input, slope)), -1);
      for (const slope of SLOPES)
        ({ y: plain } = momentumStep(plain, negated(slope), { kind: "momentum", mu: 0, gamma: 1 }));
      return {
        plain: plain.read(),
        y: throughDepth(x, { kind: "robust", conditionNumber: 3, smoothness: 3, rate: 0 }).y.read(),
      };
    });
    const residual = Array.from(data, (x) => SLOPES.reduce((sum, slope) => sum + Math.tanh(slope * sum), x));
    expectClose("plain", await plain, residual, 1e-6);
    // A rate of 0 takes plain steps of k / L.
    const steps = Array.from(data, (x) => SLOPES.reduce((sum, slope) => sum - Math.tanh(slope * sum), x));
    expectClose("robust", await y, steps, 1e-6);
  });

  test("refuses coefficients out of range", () => {
    const bad = { kind: "robust", conditionNumber: 1, smoothness: 1, rate: 0.5 } as const;
    expect(() => robustCoefficients(bad)).toThrow("conditionNumber 1");
  });
});
