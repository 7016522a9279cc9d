import type { RandomKey } from "@moebius/runtime/tensor";

/** What stands between the linear layer and the softmax of the gate: its value and slope; 0 at 0. */
export interface GateActivation {
  name: string;
  value: (x: number) => number;
  slope: (x: number) => number;
}

export const GATE_ACTIVATIONS: readonly GateActivation[] = [
  { name: "linear", value: (x) => x, slope: () => 1 },
  { name: "tanh", value: Math.tanh, slope: (x) => 1 - Math.tanh(x) ** 2 },
  {
    name: "sigmoid",
    value: (x) => 1 / (1 + Math.exp(-x)) - 0.5,
    slope: (x) => Math.exp(-Math.abs(x)) / (1 + Math.exp(-Math.abs(x))) ** 2,
  },
];

/**
 * Two Gaussian experts of one input: gate softmax((σ(β₁ x) + β₀) / τ, 0), experts N(a x + b, ν). As a vector: β₁, β₀, ln τ, a, b and ln ν
 * of the first expert, then of the second.
 */
export type Theta = readonly [number, number, number, number, number, number, number, number, number];

export interface Sample {
  x: Float64Array;
  y: Float64Array;
}

const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/** Draws pairs with x uniform in ±3. */
export function drawSample(theta: Theta, activation: GateActivation, size: number, key: RandomKey): Sample {
  const [beta1, beta0, logTau, a1, b1, logNu1, a2, b2, logNu2] = theta;
  const [places, choices] = [key.split("x").uniform(size), key.split("expert").uniform(size)];
  const noise = key.split("noise").normal(size);
  const x = Float64Array.from(places, (place) => 6 * place - 3);
  const y = x.map((value, s) => {
    const gate = (activation.value(beta1 * value) + beta0) / Math.exp(logTau);
    const isFirst = (choices[s] as number) < 1 / (1 + Math.exp(-gate));
    const [a, b, logNu] = isFirst ? [a1, b1, logNu1] : [a2, b2, logNu2];
    return a * value + b + Math.exp(logNu / 2) * (noise[s] as number);
  });
  return { x, y };
}

/** The mean negative log-likelihood, and its gradient. */
export function negativeLogLikelihood(theta: ArrayLike<number>, { x, y }: Sample, activation: GateActivation) {
  const [beta1, beta0, logTau, a1, b1, logNu1, a2, b2, logNu2] = theta as unknown as Theta;
  const [tau, nu1, nu2] = [Math.exp(logTau), Math.exp(logNu1), Math.exp(logNu2)];
  const gradient = new Float64Array(9);
  let value = 0;
  for (let s = 0; s < x.length; s++) {
    const [input, target] = [x[s] as number, y[s] as number];
    const gate = (activation.value(beta1 * input) + beta0) / tau;
    const logOdds = Math.max(gate, 0) + Math.log1p(Math.exp(-Math.abs(gate))); // ln(1 + e^gate)
    const [r1, r2] = [target - a1 * input - b1, target - a2 * input - b2];
    const l1 = gate - logOdds - HALF_LOG_TWO_PI - 0.5 * (logNu1 + (r1 * r1) / nu1);
    const l2 = -logOdds - HALF_LOG_TWO_PI - 0.5 * (logNu2 + (r2 * r2) / nu2);
    const top = Math.max(l1, l2);
    const total = top + Math.log(Math.exp(l1 - top) + Math.exp(l2 - top));
    value -= total;
    const [w1, w2] = [Math.exp(l1 - total), Math.exp(l2 - total)];
    const ofGate = w1 - Math.exp(gate - logOdds);
    const terms = [
      (ofGate * activation.slope(beta1 * input) * input) / tau,
      ofGate / tau,
      -ofGate * gate,
      (w1 * r1 * input) / nu1,
      (w1 * r1) / nu1,
      0.5 * w1 * ((r1 * r1) / nu1 - 1),
      (w2 * r2 * input) / nu2,
      (w2 * r2) / nu2,
      0.5 * w2 * ((r2 * r2) / nu2 - 1),
    ];
    for (const [i, term] of terms.entries()) gradient[i] = (gradient[i] as number) - term;
  }
  return { value: value / x.length, gradient: gradient.map((g) => g / x.length) };
}
