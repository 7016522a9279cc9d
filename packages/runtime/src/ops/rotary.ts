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

/**
 * Cosines and sines of position · theta^(−2j/D), computed in float64 on the host: adapters err by up to 7e-3 on large angles.
 * @param dim rotated elements of a head (D), even
 * @param scaling divides the positions: a model trained on P positions serves scaling · P (Chen et al. 2023, arXiv:2306.15595)
 */
export function rotaryTables(
  device: Device,
  {
    maxPositions,
    dim,
    theta = 10_000,
    scaling = 1,
  }: { maxPositions: number; dim: number; theta?: number; scaling?: number },
): RotaryTables {
  if (!(Number.isInteger(dim) && dim > 0 && dim % 2 === 0))
    throw new ShapeError(`rotaryTables: dim is ${dim}, expected an even number of rotated elements`);
  const half = dim / 2;
  const table = (f: (angle: number) => number) =>
    tensor(
      device,
      Float32Array.from({ length: maxPositions * half }, (_, i) =>
        f((Math.floor(i / half) / scaling) * theta ** ((-2 * (i % half)) / dim)),
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
