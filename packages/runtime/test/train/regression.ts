import type { Device } from "../../src/device/device.ts";
import { MoeLayer, SwigluExperts, TopKRouter } from "../../src/moe/index.ts";
import { Linear, Module } from "../../src/nn/index.ts";
import { mseLoss } from "../../src/ops/regression-loss.ts";
import { adamw, cosine } from "../../src/optim/index.ts";
import { RandomKey, type Tensor, tensor } from "../../src/tensor/index.ts";
import { type BatchSource, Trainer, type TrainerOptions } from "../../src/train/index.ts";

const [INPUTS, HIDDEN, BATCH] = [4, 8, 32];

/** A tiny model with experts: x to a hidden layer, through a mixture of experts, to one number. */
export class TinyModel extends Module {
  readonly #input: Linear;
  readonly #moe: MoeLayer;
  readonly #output: Linear;

  constructor(device: Device) {
    super(device);
    this.#input = this.child("input", new Linear(device, { inFeatures: INPUTS, outFeatures: HIDDEN, bias: true }));
    this.#moe = this.child(
      "moe",
      new MoeLayer(device, {
        router: new TopKRouter(device, { hiddenSize: HIDDEN, numExperts: 4, topK: 2 }),
        experts: new SwigluExperts(device, { hiddenSize: HIDDEN, numExperts: 4, intermediateSize: 8 }),
      }),
    );
    this.#output = this.child("output", new Linear(device, { inFeatures: HIDDEN, outFeatures: 1, bias: true }));
    this.initialize(new RandomKey(7));
  }

  forward(x: Tensor<"f32">) {
    const { y, routing } = this.#moe.forward(this.#input.forward(x));
    return { prediction: this.#output.forward(y), routing };
  }
}

interface TinyBatch {
  x: Float32Array<ArrayBuffer>;
  y: Float32Array<ArrayBuffer>;
}

/** Batch n is drawn from its number alone. */
export class TinyData implements BatchSource<TinyBatch> {
  #position = 0;

  next() {
    const x = new RandomKey(3).fold(this.#position++).normal(BATCH * INPUTS);
    const y = Float32Array.from(
      { length: BATCH },
      (_, i) => Math.sin(x[i * INPUTS] as number) + (x[i * INPUTS + 1] as number),
    );
    return { x, y };
  }

  state() {
    return { position: this.#position };
  }

  restore(state: unknown) {
    this.#position = (state as { position: number }).position;
  }
}

export function tinyTrainer(
  model: TinyModel,
  options: Partial<Omit<TrainerOptions<TinyBatch>, "model" | "loss">> = {},
) {
  const { device } = model;
  return new Trainer({
    model,
    data: new TinyData(),
    optimizer: adamw({ learningRate: cosine(1e-2, { warmupSteps: 5 }), clipNorm: 1 }),
    loss: ({ x, y }) => {
      const { prediction, routing } = model.forward(tensor(device, x, [BATCH, INPUTS]));
      return { loss: mseLoss(prediction, tensor(device, y, [BATCH, 1])), routings: [routing] };
    },
    ...options,
  });
}
