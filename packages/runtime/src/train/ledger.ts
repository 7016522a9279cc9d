import { ValueError } from "../device/errors.ts";
import { handled } from "../device/handled.ts";
import { addUpLedger, type LedgerRow, ledgerTable } from "../kernels/ledger.ts";
import type { RoutingStatistics } from "../moe/statistics.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What the device found out about one parameter at one step. */
interface Entry {
  name: string;
  isBank: boolean;
  rank: number;
  /** Squared gradient norm of each expert; one number for what is no bank. */
  squares: Float64Array;
  checksums: Uint32Array;
}

/** What is remembered of a parameter or an expert. */
interface Account {
  /** On the last page. */
  checksum: number;
  /** When it first had a gradient: until then it may well rest, such as an expert that nobody chose yet. */
  origin: number | undefined;
  /** Pages since then without any change. */
  rests: number;
  hasMoved: boolean;
  /** Pages in a row on which it got tokens but no gradient. */
  starved: number;
}

/** What the ledger found at one step. Experts are called "name[3]". */
export interface LedgerPage {
  step: number;
  /** By parameter; one number an expert for banks. */
  gradientNorms: Record<string, number[]>;
  /** Without a gradient at this step. */
  withoutGradient: string[];
  /** Not a bit has changed since the last page. */
  unmoved: string[];
}

/** One page may be chance: a bank that begins with zeros has no gradient at first, a small step can be lost in rounding. */
const PATIENCE = 2;

/** A bank of experts: stacked weights [E, out, in] under a name with "experts". */
const isBank = (name: string, { rank }: Tensor) => rank === 3 && /\bexperts\b/.test(name);
const bankOf = (name: string) => name.slice(0, name.lastIndexOf("."));

/**
 * Watches, every so many steps, who got tokens, a gradient, and moved. Users of other libraries lost weeks to experts that silently
 * never trained: here an expert that receives tokens but no gradient, or a matrix that has a gradient but never moves, ends the run.
 */
export class GradientLedger {
  readonly #parameters: ReadonlyMap<string, Tensor<"f32">>;
  readonly #accounts = new Map<string, Account>();

  constructor(parameters: ReadonlyMap<string, Tensor<"f32">>) {
    this.#parameters = parameters;
  }

  /** Records the sums of a step, before the optimizer moves the parameters; the answer is read late. */
  record(gradients: ReadonlyMap<Tensor, Tensor<"f32">>): Promise<Entry[]> {
    const rows = [...this.#parameters].map(([name, parameter]): LedgerRow & { name: string; isBank: boolean } => {
      const bank = isBank(name, parameter);
      return {
        name,
        isBank: bank,
        parameter,
        gradient: gradients.get(parameter),
        groups: bank ? parameter.axis(0) : 1,
      };
    });
    const [head, ...others] = rows;
    if (!head) return Promise.resolve([]);
    using table = ledgerTable([head, ...others]);
    const read = table.read();
    const entries = async () => {
      const sums = addUpLedger(rows, await read);
      return rows.map(({ name, isBank, parameter: { rank } }, i) => ({
        name,
        isBank,
        rank,
        squares: sums[i]?.squares ?? new Float64Array(),
        checksums: sums[i]?.checksums ?? new Uint32Array(),
      }));
    };
    return handled(entries());
  }

  /**
   * Draws up the page of a step.
   * @param statistics of the routings of this step, in order of layers, which is the order of the banks
   * @throws {ValueError} naming the expert that got tokens but no gradient on two pages in a row, or the expert or matrix that had
   *   a gradient and has not changed over two pages. Vectors are only listed: a norm's ones outlast the last steps of a schedule
   */
  close(step: number, entries: readonly Entry[], statistics: readonly RoutingStatistics[]): LedgerPage {
    const page: LedgerPage = { step, gradientNorms: {}, withoutGradient: [], unmoved: [] };
    const layers = [...new Set(entries.filter(({ isBank }) => isBank).map(({ name }) => bankOf(name)))];
    for (const { name, isBank, rank, squares, checksums } of entries) {
      const tokens = isBank ? statistics[layers.indexOf(bankOf(name))]?.tokensPerExpert : undefined;
      page.gradientNorms[name] = Array.from(squares, Math.sqrt);
      for (const [i, square] of squares.entries()) {
        const label = isBank ? `${name}[${i}]` : name;
        const checksum = checksums[i] ?? 0;
        const account = this.#accounts.get(label);
        if (square === 0) page.withoutGradient.push(label);
        if (account?.checksum === checksum) page.unmoved.push(label);
        const now = next(account, { checksum, hasGradient: square !== 0, tokens: tokens?.[i] ?? 0 });
        this.#accounts.set(label, now);
        if (now.starved >= PATIENCE)
          throw new ValueError(`step ${step}: ${label} received ${tokens?.[i]} tokens but no gradient`);
        if (rank >= 2 && now.rests >= PATIENCE)
          throw new ValueError(
            `step ${step}: ${label} has a gradient but has never moved; is it one of the optimizer's parameters, and is the learning rate above 0?`,
          );
      }
    }
    return page;
  }
}

function next(
  before: Account | undefined,
  { checksum, hasGradient, tokens }: { checksum: number; hasGradient: boolean; tokens: number },
): Account {
  const origin = before?.origin ?? (hasGradient ? checksum : undefined);
  const hasMoved = before?.hasMoved === true || (origin !== undefined && origin !== checksum);
  const rests = before?.origin !== undefined && !hasMoved ? before.rests + 1 : 0;
  const starved = tokens > 0 && !hasGradient ? (before?.starved ?? 0) + 1 : 0;
  return { checksum, origin, rests, hasMoved, starved };
}
