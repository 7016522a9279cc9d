import { defineKernel, grid1d } from "../device/kernel.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./rotary.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("rotary", code);

export interface RotaryOptions {
  /** Position of the first row of every sequence. Default 0. */
  offset?: number;
  /** [B, T] u32: position of each row, in place of offset + t. */
  positions?: Tensor<"u32"> | undefined;
  /** Pairs (2j, 2j + 1), as GPT-J and some DeepSeek checkpoints have them, in place of (j, j + D/2). */
  interleaved?: boolean;
}

/** @param sign 1 forward, −1 backward */
export function rotate(
  x: F32,
  cos: F32,
  sin: F32,
  sign: 1 | -1,
  { offset = 0, positions, interleaved = false }: RotaryOptions,
): F32 {
  const [, length = 1, heads = 1, dim = 1] = x.shape;
  const half = cos.axis(-1);
  const out = empty(x.device, x.shape, "f32");
  const isVector = !interleaved && dim % 4 === 0 && half % 4 === 0;
  const quad = isVector ? 4 : 1;
  const pairs = (x.size / (dim || 1)) * Math.ceil(dim / quad / 2);
  x.device.dispatch({
    kernel,
    defines: { INTERLEAVED: interleaved, VEC: isVector },
    bindings: [x, cos, sin, positions ?? x, out].map((tensor) => tensor.binding()),
    params: {
      pairs,
      length,
      heads,
      dim: dim / quad,
      half: half / quad,
      offset,
      last: cos.axis(0) - 1,
      sign,
      has_positions: positions ? 1 : 0,
    },
    grid: pairs === 0 ? [0] : grid1d(pairs, 64),
    bytes: 8 * x.size,
  });
  return out;
}
