import { ValueError } from "../device/errors.ts";
import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import type { RoutingStatistics } from "../moe/statistics.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";

/** Sums that tell whether a parameter, or each expert of a bank, had a gradient and has moved. */
interface Entry {
  name: string;
  /** Squared gradient norm of each expert; one number for what is no bank. */
  gradient: Float32Array;
  /** Σ p² of each expert: equal before and after means that it did not move. */
  size: Float32Array;
}

/** What the ledger found at one step. */
export interface LedgerPage {
  step: number;
  /** Parameters, and experts as "name[3]", without a gradient at this step. */
  withoutGradient: string[];
  /** Likewise, unchanged since the last page. */
  unmoved: string[];
}

/** A bank of experts: stacked weights [E, out, in] under a name with "experts". */
const isBank = (name: string, tensor: Tensor) => tensor.rank === 3 && /\bexperts\b/.test(name);

/**
 * Counts, every so many steps, who got tokens, a gradient, and moved. Users of other libraries lost weeks to experts that silently
 * never trained: here an expert that received tokens but no gradient, or did not move between two pages, ends the run.
 */
export class GradientLedger {
  readonly #parameters: ReadonlyMap<string, Tensor<"f32">>;
  #before: Map<string, Float32Array> | undefined;

  constructor(parameters: ReadonlyMap<string, Tensor<"f32">>) {
    this.#parameters = parameters;
  }

  /** Records the sums of a step, before the optimizer moves the parameters; the answer is read late. */
  record(gradients: ReadonlyMap<Tensor, Tensor<"f32">>): Promise<Entry[]> {
    const reads = scope(() =>
      [...this.#parameters].map(([name, parameter]) => {
        const gradient = gradients.get(parameter);
        const sums = (tensor: Tensor<"f32">) => {
          const groups = isBank(name, parameter) ? (parameter.shape[0] ?? 1) : 1;
          return reduce(map("a * a", [viewOf(tensor, [groups, tensor.size / groups])]), "sum", 1).read();
        };
        return {
          name,
          gradient: gradient ? sums(gradient) : Promise.resolve(new Float32Array(1)),
          size: sums(parameter),
        } as const;
      }),
    );
    return Promise.all(
      reads.map(async ({ name, gradient, size }) => ({ name, gradient: await gradient, size: await size })),
    );
  }

  /**
   * Draws up the page of a step.
   * @param statistics of the routings of this step, in order of layers, which is the order of the banks
   * @throws {ValueError} naming the expert that got tokens but no gradient, or did not move
   */
  close(step: number, entries: readonly Entry[], statistics: readonly RoutingStatistics[]): LedgerPage {
    const page: LedgerPage = { step, withoutGradient: [], unmoved: [] };
    const layers = [...new Set(entries.filter(({ gradient }) => gradient.length > 1).map(({ name }) => bankOf(name)))];
    for (const { name, gradient, size } of entries) {
      const before = this.#before?.get(name);
      const tokens = gradient.length > 1 ? statistics[layers.indexOf(bankOf(name))]?.tokensPerExpert : undefined;
      for (const [i, squares] of gradient.entries()) {
        const label = gradient.length > 1 ? `${name}[${i}]` : name;
        const still = before !== undefined && before[i] === size[i];
        if (squares === 0) page.withoutGradient.push(label);
        if (still) page.unmoved.push(label);
        if (tokens?.[i] && squares === 0)
          throw new ValueError(`step ${step}: ${label} received ${tokens[i]} tokens but no gradient`);
        if (tokens?.[i] && still)
          throw new ValueError(
            `step ${step}: ${label} received ${tokens[i]} tokens but has not moved since the last look`,
          );
      }
    }
    this.#before = new Map(entries.map(({ name, size }) => [name, size]));
    return page;
  }
}

const bankOf = (name: string) => name.slice(0, name.lastIndexOf("."));
