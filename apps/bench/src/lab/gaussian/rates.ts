import type { ProgressEvent } from "@moebius/cli";
import { RandomKey } from "@moebius/runtime/tensor";
import {
  drawSample,
  GATE_ACTIVATIONS,
  type GateActivation,
  negativeLogLikelihood,
  type Theta,
} from "./gaussian-moe.ts";
import { minimise } from "./minimise.ts";

/** The truth: β₁ 2, β₀ −0.5, τ 0.7, a (1.5, −1), b (−0.5, 1), ν (0.3, 0.4). */
const TRUTH: Theta = [2, -0.5, Math.log(0.7), 1.5, -0.5, Math.log(0.3), -1, 1, Math.log(0.4)];
const SAMPLE_SIZES = [500, 1500, 5000, 15_000, 50_000];
/** Deviation of the starting points around the truth. */
const START = 0.25;

export const ERRORS = ["beta1", "tau", "beta1/tau", "a and b", "nu"] as const;

export interface Rates {
  gate: string;
  /** Log-log slope of each mean absolute error against the sample size. */
  slopes: Record<(typeof ERRORS)[number], number>;
}

/**
 * Fits both gates by maximum likelihood to samples of growing size, from starts near the truth, and measures how fast errors fall.
 * @see Nguyen et al. 2024, arXiv:2401.13875
 */
export function measureRates(repetitions: number, report: (event: ProgressEvent) => void): Rates[] {
  const total = GATE_ACTIVATIONS.length * SAMPLE_SIZES.length * repetitions;
  let done = 0;
  return GATE_ACTIVATIONS.map((activation) => {
    const bySize = SAMPLE_SIZES.map((size) => {
      const errors = Array.from({ length: repetitions }, (_, repetition) => {
        const found = fitErrors(activation, size, new RandomKey(repetition).split(activation.name).fold(size));
        report({ stage: "gaussian", done: ++done, total, note: `${activation.name} gate, ${size} points` });
        return found;
      });
      return ERRORS.map((_, i) => errors.reduce((sum, error) => sum + (error[i] as number), 0) / repetitions);
    });
    const slopes = ERRORS.map((name, i) => [name, slopeOf(bySize.map((errors) => errors[i] as number))] as const);
    return { gate: activation.name, slopes: Object.fromEntries(slopes) as Rates["slopes"] };
  });
}

/** The absolute errors of one fit, in the order of ERRORS. */
function fitErrors(activation: GateActivation, size: number, key: RandomKey): number[] {
  const sample = drawSample(TRUTH, activation, size, key.split("sample"));
  const noise = key.split("start").normal(TRUTH.length);
  const start = TRUTH.map((value, i) => value + START * (noise[i] as number));
  const fitted = minimise((theta) => negativeLogLikelihood(theta, sample, activation), start) as unknown as Theta;
  const [of, truth] = [parts(fitted), parts(TRUTH)];
  const apart = (name: keyof ReturnType<typeof parts>) => {
    const [ours, theirs] = [of[name], truth[name]];
    return ours.reduce((sum, value, i) => sum + Math.abs(value - (theirs[i] as number)), 0) / ours.length;
  };
  return ERRORS.map(apart);
}

function parts([beta1, , logTau, a1, b1, logNu1, a2, b2, logNu2]: Theta) {
  return {
    beta1: [beta1],
    tau: [Math.exp(logTau)],
    "beta1/tau": [beta1 / Math.exp(logTau)],
    "a and b": [a1, b1, a2, b2],
    nu: [Math.exp(logNu1), Math.exp(logNu2)],
  };
}

/** Least-squares slope of ln error over ln size. */
function slopeOf(errors: readonly number[]): number {
  const [x, y] = [SAMPLE_SIZES.map(Math.log), errors.map(Math.log)];
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, v, i) => sum + (v - mx) * ((y[i] as number) - my), 0);
  return covariance / x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
}
