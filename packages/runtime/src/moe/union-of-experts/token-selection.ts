import { ValueError } from "../../device/errors.ts";
import { arange, full } from "../../kernels/fill.ts";
import { map } from "../../kernels/map.ts";
import { reduce } from "../../kernels/reduce.ts";
import { putAlong } from "../../kernels/take-along.ts";
import { topK } from "../../kernels/top-k.ts";
import { permute } from "../../ops/layout.ts";
import { scope } from "../../tensor/scope.ts";
import { empty, type Tensor } from "../../tensor/tensor.ts";
import { viewOf } from "../../tensor/views.ts";

type F32 = Tensor<"f32">;
type U32 = Tensor<"u32">;

export interface SelectionRule {
  /**
   * Tokens that an expert takes of each sequence: a count, a function of the sequence's length, or `largest`, the largest number of
   * positive scores over all sequences and experts, which stays on the device.
   */
  tokensPerExpert: number | ((length: number) => number) | "largest";
  /**
   * Whether experts with fewer positive scores fill up with tokens that did not choose them, lowest position first. Default true,
   * the released form, in which later tokens and batch mates decide about earlier ones. With `false` and `largest` a token goes to
   * the experts of its own top-k and nothing else matters: safe for causal models and for decoding.
   */
  fill?: boolean;
}

/** Which tokens each expert takes. */
export interface TokenSelection {
  /** [E, B, S] positions in ascending order; NONE behind an expert's last one. */
  readonly indices: U32;
  /** [] slots in use of S, the same for all; fewer hold a token where experts do not fill up. */
  readonly used: U32;
}

/**
 * Selects for each expert and sequence the tokens of highest score; a tie goes to the lower position. Nothing is read back: where
 * the number is known to the device alone, S is its bound T.
 * @param scores [B, T, E], at least 0
 * @throws {ValueError} when tokensPerExpert is no count up to T
 * @see Yang et al. 2025, arXiv:2503.02495: patch-wise data selection
 */
export function selectTokens(scores: F32, { tokensPerExpert, fill = true }: SelectionRule): TokenSelection {
  const { device } = scores;
  const [B, T, E] = [scores.axis(0), scores.axis(1), scores.axis(2)];
  const wanted = typeof tokensPerExpert === "function" ? tokensPerExpert(T) : tokensPerExpert;
  const slots = wanted === "largest" ? T : wanted;
  if (!(Number.isInteger(slots) && slots >= 0 && slots <= T))
    throw new ValueError(
      `selectTokens: tokensPerExpert is ${slots}, expected a count up to the ${T} tokens of a sequence`,
    );
  if (slots === 0) return { indices: empty(device, [E, B, 0], "u32"), used: full(device, [], 0, "u32") };
  return scope(() => {
    const byExpert = permute(scores, [2, 0, 1]); // [E, B, T]
    const ranked = topK(byExpert, slots);
    const isPositive = (x: F32) => map("select(T(0.0), T(1.0), a > T(0.0))", [x]);
    const counted = wanted === "largest" ? reduce(reduce(isPositive(byExpert), "sum", -1), "max") : undefined;
    const used = counted ? map("OUT_TYPE(a)", [counted], { dtype: "u32" }) : full(device, [], slots, "u32");
    const isUsed = counted
      ? map("select(T(0.0), T(1.0), a < b)", [arange(device, slots, "f32"), counted], { shape: ranked.values.shape })
      : map("T(1.0)", [ranked.values]);
    const selected = putAlong(fill ? isUsed : isPositive(ranked.values), ranked.indices, T); // [E, B, T], 1 where selected
    // The selected tokens by position: the largest of T − t comes first, and 0 stands for tokens that were not selected.
    const order = topK(map("a * b", [selected, arange(device, T, "f32", T, -1)]), slots);
    const indices = map("select(~(b ^ b), b, a > T(0.0))", [order.values, order.indices], { dtype: "u32" });
    return { indices, used };
  });
}

/** The selected tokens as rows of x [B · T, H]: [E · B · S], NONE where there is none. */
export function rowsOfSelection({ indices }: TokenSelection, length: number): U32 {
  const bases = viewOf(arange(indices.device, indices.axis(1), "u32", 0, length), [indices.axis(1), 1]);
  const rows = map("select(a + b, a, a == ~(a ^ a))", [indices, bases], { dtype: "u32" });
  return viewOf(rows, [rows.size]);
}
