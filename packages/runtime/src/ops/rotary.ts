import type { Device } from "../device/device.ts";
import { ShapeError } from "../device/errors.ts";
import { type RotaryOptions, rotate } from "../kernels/rotary.ts";
import { expectShape, formatShape } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

type F32 = Tensor<"f32">;

export interface RotaryTables {
  /** [P, D/2] */
  cos: F32;
  sin: F32;
}

/** YaRN: low frequencies of a model trained on fewer positions are stretched, high ones stay (Peng et al. 2023, arXiv:2309.00071). */
export interface YarnScaling {
  /** By which positions are more than the model was trained on. */
  factor: number;
  /** Positions that it was trained on. */
  originalPositions: number;
  /** Turns within the original positions above which a frequency stays. Default 32 */
  betaFast?: number;
  /** Turns below which it is stretched in full. Default 1 */
  betaSlow?: number;
  /** Rounds the ends of the ramp between the two outwards. Default true */
  truncate?: boolean;
  /** Multiplies cosines and sines. Default 0.1 ln(factor) + 1: see yarnMagnitude */
  attentionFactor?: number;
}

export interface RotaryTableOptions {
  maxPositions: number;
  /** Rotated elements of a head (D), even. */
  dim: number;
  /** Default 10,000 */
  theta?: number;
  /** Divides the positions: a model trained on P positions serves scaling · P (Chen et al. 2023, arXiv:2306.15595). Default 1 */
  scaling?: number;
  yarn?: YarnScaling | undefined;
}

/** How much larger attention scores are to be for a stretched context: 0.1 · scale · ln(factor) + 1. */
export const yarnMagnitude = (factor: number, scale = 1): number =>
  factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;

/** Angle a position of each of the D/2 pairs: theta^(−2j/D), stretched where YaRN says so. */
export function rotaryFrequencies({
  dim,
  theta = 10_000,
  scaling = 1,
  yarn,
}: Omit<RotaryTableOptions, "maxPositions">): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, j) => theta ** ((-2 * j) / dim) / scaling);
  if (!yarn) return plain;
  const { factor, originalPositions, betaFast = 32, betaSlow = 1, truncate = true } = yarn;
  const pairOf = (turns: number) => (dim * Math.log(originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(truncate ? Math.floor(pairOf(betaFast)) : pairOf(betaFast), 0);
  const high = Math.min(truncate ? Math.ceil(pairOf(betaSlow)) : pairOf(betaSlow), dim - 1);
  const width = high === low ? 0.001 : high - low;
  return plain.map((frequency, j) => {
    const ramp = Math.min(Math.max((j - low) / width, 0), 1);
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
}

/** Cosines and sines of position · frequency, computed in float64 on the host: adapters err by up to 7e-3 on large angles. */
export function rotaryTables(device: Device, options: RotaryTableOptions): RotaryTables {
  const { maxPositions, dim, yarn } = options;
  if (!(Number.isInteger(dim) && dim > 0 && dim % 2 === 0))
    throw new ShapeError(`rotaryTables: dim is ${dim}, expected an even number of rotated elements`);
  const half = dim / 2;
  const frequencies = rotaryFrequencies(options);
  const magnitude = yarn ? (yarn.attentionFactor ?? yarnMagnitude(yarn.factor)) : 1;
  const table = (f: (angle: number) => number) =>
    tensor(
      device,
      Float32Array.from(
        { length: maxPositions * half },
        (_, i) => magnitude * f(Math.floor(i / half) * (frequencies[i % half] as number)),
      ),
      [maxPositions, half],
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/**
 * Rotary position embedding: each pair of a head's elements turns by an angle that grows with the position.
 * @param x [B, T, A, D]
 * @param cos [P, R/2], sin likewise, with R ≤ D the rotated elements; later positions take the angle of P − 1
 * @throws {ShapeError} when the tables do not cover the positions or are wider than a head
 * @see Su et al. 2021, arXiv:2104.09864, equation 34
 */
export function rotary(x: F32, cos: F32, sin: F32, options: RotaryOptions = {}): F32 {
  const { offset = 0, positions } = options;
  if (x.rank !== 4 || 2 * cos.axis(-1) > x.axis(-1))
    throw new ShapeError(
      `rotary: x ${formatShape(x.shape)} must be [B, T, A, D] with D ≥ twice the ${cos.axis(-1)} angles of the tables`,
    );
  expectShape("rotary", "sin", sin.shape, cos.shape);
  if (positions) expectShape("rotary", "positions, flattened,", [positions.size], [x.axis(0) * x.axis(1)]);
  if (!positions && offset + x.axis(1) > cos.axis(0))
    throw new ShapeError(
      `rotary: positions up to ${offset + x.axis(1) - 1} pass the ${cos.axis(0)} of the tables (max_position_embeddings)`,
    );
  const y = rotate(x, cos, sin, 1, options);
  // A rotation's transpose is the rotation back.
  differentiable("rotary", [x], [y], [cos, sin, ...(positions ? [positions] : [])], ([dy], [cos, sin, positions]) => [
    rotate(dy as F32, cos as F32, sin as F32, -1, { ...options, positions: positions as Tensor<"u32"> | undefined }),
  ]);
  return y;
}
