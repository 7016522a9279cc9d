import type { Device } from "../../device/device.ts";
import { ShapeError } from "../../device/errors.ts";
import { full } from "../../kernels/fill.ts";
import { gemmTransposed } from "../../kernels/gemm-transposed.ts";
import { map } from "../../kernels/map.ts";
import { movingAverage } from "../../kernels/moving-average.ts";
import { reduce } from "../../kernels/reduce.ts";
import { topK } from "../../kernels/top-k.ts";
import { concat, transpose } from "../../ops/layout.ts";
import { matmul } from "../../ops/matmul.ts";
import { keep, scope } from "../../tensor/scope.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { rowsOf, viewOf } from "../../tensor/views.ts";
import type { ExpertPair } from "./expert-mask.ts";
import type { ProductRouting } from "./monet-router.ts";

type F32 = Tensor<"f32">;

/** Elements of the weights that are written out at a time: 16 MiB. */
const ROOM = 1 << 22;

/**
 * The k experts of highest weight of each token, best first; a few tokens' M² weights exist at a time.
 * @returns weights and experts [N, k], expert (i, j) as i · M + j
 * @throws {ShapeError} unless 1 ≤ k ≤ M²
 */
export function topExperts({ g1, g2 }: ProductRouting, k: number): { weights: F32; experts: Tensor<"u32"> } {
  const [N, M] = [g1.axis(0), g1.axis(2)];
  if (!(Number.isInteger(k) && k >= 1 && k <= M * M))
    throw new ShapeError(`topExperts: need 1 ≤ k ≤ ${M * M}, got k=${k}`);
  const most = Math.max(1, Math.floor(ROOM / (M * M)));
  return scope(() => {
    const parts = Array.from({ length: Math.ceil(N / most) }, (_, part) => {
      const of = (gates: F32) => rowsOf(gates, part * most, Math.min(most, N - part * most));
      const weights = matmul(transpose(of(g1)), of(g2)); // [·, M, M]
      const best = topK(viewOf(weights, [weights.axis(0), M * M]), k);
      weights.dispose();
      return best;
    });
    return {
      weights: concat(
        parts.map(({ values }) => values),
        0,
      ),
      experts: concat(
        parts.map(({ indices }) => indices),
        0,
      ),
    };
  });
}

/** The mean weight of each expert over a corpus, collected step by step on the device: one sum of M² for all tokens together. */
export class ExpertUsage implements Disposable {
  readonly #sums: F32;
  readonly #numTokens: F32;
  readonly #keysPerAxis: number;

  constructor(device: Device, keysPerAxis: number) {
    this.#keysPerAxis = keysPerAxis;
    this.#sums = keep(full(device, [keysPerAxis, keysPerAxis], 0, "f32"));
    this.#numTokens = keep(full(device, [1], 0, "f32"));
  }

  /** @param mask [N] f32, 0 = padding */
  add({ g1, g2 }: ProductRouting, { mask }: { mask?: F32 | undefined } = {}): void {
    const [N, heads, M] = [g1.axis(0), g1.axis(1), g1.axis(2)];
    if (M !== this.#keysPerAxis)
      throw new ShapeError(`ExpertUsage: gates ${formatShape(g1.shape)} for axes of ${this.#keysPerAxis} keys`);
    scope(() => {
      const counted = mask ? map("a * b", [g1, viewOf(mask, [N, 1, 1])]) : g1;
      const rows = (gates: F32) => viewOf(gates, [N * heads, M]);
      gemmTransposed(rows(counted), rows(g2), { into: this.#sums });
      const tokens = mask ? viewOf(reduce(mask, "sum"), [1]) : full(g1.device, [1], N, "f32");
      movingAverage(this.#numTokens, map("a + b", [this.#numTokens, tokens]), 0);
    });
  }

  /** [M · M] Σ_h g1[h, i] · g2[h, j], the mean over the tokens so far, expert (i, j) at i · M + j. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    const [sums, count] = await Promise.all([this.#sums.read(), this.#numTokens.item()]);
    return sums.map((sum) => sum / Math.max(1, count));
  }

  [Symbol.dispose](): void {
    this.#sums.dispose();
    this.#numTokens.dispose();
  }
}

/**
 * The experts of each domain: those whose mean weight there is at least `ratio` times that in every other domain.
 * @param usage [M · M] mean weights by domain, as ExpertUsage reads them
 * @param ratio Default 2
 * @returns pairs by domain, most weight first: what a MaskedExperts takes to remove the domain's knowledge
 * @see Park et al. 2024, arXiv:2412.04139: domain masking
 */
export function domainExperts(
  usage: ReadonlyMap<string, ArrayLike<number>>,
  { ratio = 2 }: { ratio?: number } = {},
): Map<string, ExpertPair[]> {
  const domains = [...usage];
  return new Map(
    domains.map(([domain, own]) => {
      const keysPerAxis = Math.sqrt(own.length);
      const others = domains.filter(([name]) => name !== domain).map(([, scores]) => scores);
      if (!Number.isInteger(keysPerAxis) || others.some((scores) => scores.length !== own.length))
        throw new ShapeError(
          `domainExperts: domain "${domain}" has ${own.length} weights, expected M² as in every other`,
        );
      const score = (expert: number) => own[expert] as number;
      const belongs = Array.from(own, (_, expert) => expert).filter(
        (expert) => score(expert) > 0 && others.every((scores) => score(expert) >= ratio * (scores[expert] as number)),
      );
      belongs.sort((a, b) => score(b) - score(a) || a - b);
      return [domain, belongs.map((expert): ExpertPair => [Math.floor(expert / keysPerAxis), expert % keysPerAxis])];
    }),
  );
}
