import { multiply, subtract } from "../../ops/elementwise.ts";
import { gatherRows, scatterRows } from "../../ops/gather-rows.ts";
import { permute, reshape, transpose } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import { sum } from "../../ops/reduction.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ExpertMask } from "./expert-mask.ts";
import type { ProductRouting } from "./monet-router.ts";

type F32 = Tensor<"f32">;
type U32 = Tensor<"u32">;

/**
 * The weights w_ij = Σ_h g1[h, i] · g2[h, j] of a product's experts, never written out: sums over one axis cost heads · M a token.
 * With a mask some w_ij are 0.
 */
export class ProductGates {
  readonly #gates: readonly [F32, F32];
  readonly #mask: ExpertMask | undefined;
  /** [P, N] weights of the masked pairs, to be taken away again. */
  readonly #pairWeights: F32 | undefined;

  constructor({ g1, g2 }: Pick<ProductRouting, "g1" | "g2">, mask?: ExpertMask) {
    this.#gates = mask ? [multiply(g1, mask.keepRows), multiply(g2, mask.keepColumns)] : [g1, g2];
    this.#mask = mask;
    if (!mask?.pairs) return;
    const picked = this.#gates.map((gates, axis) => pick(gates, mask.pairs?.[axis] as U32)) as [F32, F32];
    this.#pairWeights = sum(multiply(...picked), -1);
  }

  /** Σ_i w_ij for each j (`to` 1), or Σ_j w_ij for each i (`to` 0): [N, M]. */
  total(to: 0 | 1): F32 {
    const [own, other] = [this.#gates[to], this.#gates[1 - to] as F32];
    // Without a mask the other axis adds up to 1.
    const totals = this.#mask
      ? sum(multiply(own, reshape(sum(other, -1), [own.axis(0), own.axis(1), 1])), 1)
      : sum(own, 1);
    const keys = this.#mask?.pairs?.[to];
    if (!this.#pairWeights || !keys) return totals;
    return subtract(totals, transpose(scatterRows(this.#pairWeights, keys, own.axis(2))));
  }

  /** Σ_i w_ij · values_i for each j (`to` 1), or Σ_j w_ij · values_j for each i (`to` 0). @param values [N, M, m] @returns [N, M, m] */
  mix(values: F32, to: 0 | 1): F32 {
    const [own, other] = [this.#gates[to], this.#gates[1 - to] as F32];
    const mixed = matmul(transpose(own), matmul(other, values)); // through [N, heads, m]
    const [keys, sources] = [this.#mask?.pairs?.[to], this.#mask?.pairs?.[1 - to]];
    if (!this.#pairWeights || !keys || !sources) return mixed;
    const [N, M, m] = [values.axis(0), values.axis(1), values.axis(2)];
    const masked = multiply(pick(values, sources, 1), reshape(this.#pairWeights, [keys.size, N, 1])); // [P, N, m]
    const perKey = scatterRows(reshape(masked, [keys.size, N * m]), keys, M);
    return subtract(mixed, permute(reshape(perKey, [M, N, m]), [1, 0, 2]));
  }
}

/** Entries of the key axis: [N, heads, M] to [P, N, heads], or with axis 1 [N, M, m] to [P, N, m]. */
function pick(x: F32, keys: U32, axis: 1 | 2 = 2): F32 {
  const rest = [0, 1, 2].filter((k) => k !== axis);
  const byKey = permute(x, [axis, ...rest]);
  const rows = gatherRows(reshape(byKey, [x.axis(axis), x.size / x.axis(axis)]), keys);
  return reshape(rows, [keys.size, ...rest.map((k) => x.axis(k))]);
}
