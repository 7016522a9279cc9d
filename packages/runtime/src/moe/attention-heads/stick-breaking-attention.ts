import { ShapeError, ValueError } from "../../device/errors.ts";
import { arange } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import type { AttentionOptions } from "../../ops/attention.ts";
import { add, exp, multiply, negate, scale, softplus } from "../../ops/elementwise.ts";
import { permute, reshape, slice } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import { expectShape, formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";

type F32 = Tensor<"f32">;

/**
 * Causal attention that breaks a stick in place of a softmax: with β_ij = sigmoid(scale · q_i · k_j) the weight of key j ≤ i is
 * β_ij · Π_{j < m ≤ i} (1 − β_im). The nearest key is served first, the query's own before all; what is left of the stick at the
 * far end is dropped. It needs no positions. Takes the options of `attention`; memory grows with T · S.
 * @param q [B, T, A, D]
 * @param k [B, S, Akv, D]; A is a multiple of Akv: neighbouring query heads share a key/value head
 * @param v as k
 * @returns [B, T, A, D]
 * @throws {ShapeError} when the operands do not fit together
 * @throws {ValueError} for options that this attention does not have
 * @see Shen et al. 2023, arXiv:2306.04640; Tan et al. 2024, arXiv:2410.17980
 */
export function stickBreakingAttention(q: F32, k: F32, v: F32, options: AttentionOptions = {}): F32 {
  const {
    causal = true,
    slidingWindow,
    position,
    keyMask,
    keyLength = k.axis(1),
    queryOffset = keyLength - q.axis(1),
  } = options;
  if (!causal || slidingWindow !== undefined || position || queryOffset < 0)
    throw new ValueError(
      "stickBreakingAttention: is causal, over all earlier keys, with the position of the queries known to the host",
    );
  const [B, T, A, D] = [q.axis(0), q.axis(1), q.axis(2), q.axis(3)];
  const Akv = k.axis(2);
  if (q.rank !== 4 || k.rank !== 4 || A % Akv !== 0 || k.axis(0) !== B || k.axis(3) !== D || keyLength > k.axis(1))
    throw new ShapeError(
      `stickBreakingAttention: needs q [B, T, A, D] and k [B, S, Akv, D], got ${formatShape(q.shape)} and ${formatShape(k.shape)}`,
    );
  expectShape("stickBreakingAttention", "v", v.shape, k.shape);
  const group = A / Akv;
  const keys = (x: F32) => reshape(permute(slice(x, 1, 0, keyLength), [0, 2, 1, 3]), [B * Akv, keyLength, D]);
  const rows = reshape(permute(reshape(q, [B, T, Akv, group, D]), [0, 2, 3, 1, 4]), [B * Akv, group * T, D]);
  const logits = scale(matmul(rows, permute(keys(k), [0, 2, 1])), options.scale ?? 1 / Math.sqrt(D)); // [B · Akv, group · T, S]
  const seen = visible(q, { B, Akv, group, T, keyLength, queryOffset, keyMask });
  // Sums of logarithms keep the products of long contexts; hidden keys take nothing from the stick.
  const logRest = negate(multiply(softplus(logits), seen)); // log(1 − β)
  const logTaken = negate(softplus(negate(logits))); // log β
  const weights = multiply(exp(add(logTaken, matmul(logRest, laterKeys(q, keyLength)))), seen);
  const mixed = reshape(matmul(weights, keys(v)), [B, Akv, group, T, D]);
  return reshape(permute(mixed, [0, 3, 1, 2, 4]), [B, T, A, D]);
}

/** [S, S]: 1 where key m (row) lies behind key j (column). */
function laterKeys({ device }: F32, length: number): F32 {
  const keys = arange(device, length, "u32");
  return map("select(T(0.0), T(1.0), a > b)", [viewOf(keys, [length, 1]), keys]);
}

interface Sight {
  B: number;
  Akv: number;
  group: number;
  T: number;
  keyLength: number;
  queryOffset: number;
  keyMask: AttentionOptions["keyMask"];
}

/** [B · Akv, group · T, S]: 1 where a query sees a key. */
function visible({ device }: F32, { B, Akv, group, T, keyLength, queryOffset, keyMask }: Sight): F32 {
  const queries = viewOf(arange(device, T, "u32", queryOffset), [T, 1]);
  const causal = map("select(T(0.0), T(1.0), a >= b)", [queries, arange(device, keyLength, "u32")]); // [T, S]
  const shape = [B, Akv * group, T, keyLength];
  const real =
    keyMask &&
    map(keyMask.dtype === "f32" ? "select(T(0.0), T(1.0), a != T(0.0))" : "select(T(0.0), T(1.0), a != (a ^ a))", [
      slice<"f32" | "u32">(keyMask, 1, 0, keyLength),
    ]);
  const seen = real
    ? map("a * b", [causal, viewOf(real, [B, 1, 1, keyLength])], { shape })
    : map("a", [causal], { shape });
  return viewOf(seen, [B * Akv, group * T, keyLength]);
}
