import { map } from "../kernels/map.ts";
import { type RoutingStatistics, routingStatistics } from "../moe/statistics.ts";
import type { Parameter } from "../nn/module.ts";
import { Tape } from "../ops/tape.ts";
import { keep, scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { StepContext, TrainerOptions } from "./options.ts";

type F32 = Tensor<"f32">;

/** The numbers of one batch, on their way from the device. */
export interface BatchNumbers {
  loss: Promise<number>;
  parts: ReadonlyMap<string, Promise<number>>;
  statistics: Promise<RoutingStatistics[]> | undefined;
}

/** The mean gradient over the batches of a step. Its tensors outlive scopes. */
export class StepGradients implements Disposable {
  readonly sums = new Map<Tensor, F32>();
  readonly #watched: readonly Parameter[];
  readonly #share: number;

  /** @param batches in this step */
  constructor(watched: Iterable<Parameter>, batches: number) {
    this.#watched = [...watched];
    this.#share = 1 / batches;
  }

  /** Records one batch forward and backward; what it saved in between is free again afterwards. */
  add<Batch>(
    batch: Batch,
    lossOf: TrainerOptions<Batch>["loss"],
    context: StepContext,
    readsStatistics: boolean,
  ): BatchNumbers {
    return scope(() => {
      const tape = new Tape(this.#watched);
      const found = tape.run(() => lossOf(batch, context));
      const { loss, parts = {}, routings = [], mask } = found instanceof Tensor ? { loss: found } : found;
      const numbers: BatchNumbers = {
        loss: loss.item(),
        parts: new Map(Object.entries(parts).map(([name, part]) => [name, part.item()])),
        statistics: readsStatistics ? routingStatistics(routings, { mask }) : undefined,
      };
      const seed = this.#share === 1 ? undefined : map("T(s0)", [loss], { scalars: [this.#share] });
      for (const [parameter, gradient] of tape.backward(loss, seed)) {
        const before = this.sums.get(parameter);
        this.sums.set(parameter, before ? keep(map("a + b", [before, gradient])) : gradient);
        if (!before) continue;
        before.dispose();
        gradient.dispose();
      }
      return numbers;
    });
  }

  [Symbol.dispose](): void {
    for (const gradient of this.sums.values()) gradient.dispose();
  }
}
