import { scope, tensor } from "@moebius/runtime/tensor";
import { testDevice } from "@moebius/testing";
import { headLoss, type LossInputs, type TimeMoe } from "@moebius/timeseries";
import { describe, expect, test } from "vitest";
import { tinyModel } from "./tiny-model.ts";

async function huber(prediction: number[][], labels: number[], mask?: number[]): Promise<number> {
  const device = await testDevice();
  const H = prediction[0]?.length ?? 1;
  const row = (values: number[]) => tensor(device, Float32Array.from(values), [1, values.length]);
  using loss = scope(() =>
    headLoss(
      tensor(device, Float32Array.from(prediction.flat()), [1, prediction.length, H]),
      row(labels),
      mask && row(mask),
      H,
    ),
  );
  return (await loss.read())[0] as number;
}

/** The parts of the loss, read. */
async function losses(
  model: TimeMoe,
  inputs: Record<Exclude<keyof LossInputs, "minContext">, number[] | undefined>,
  minContext = 1,
) {
  const { loss, heads, balance } = scope(() => {
    const row = (values: number[]) => tensor(model.device, Float32Array.from(values), [1, values.length]);
    const parts = model.loss({
      values: row(inputs.values ?? []),
      labels: row(inputs.labels ?? []),
      lossMask: inputs.lossMask && row(inputs.lossMask),
      attentionMask: inputs.attentionMask && row(inputs.attentionMask),
      minContext,
    });
    return { loss: parts.loss.read(), heads: parts.heads.map((head) => head.read()), balance: parts.balance?.read() };
  });
  return {
    loss: (await loss)[0] as number,
    heads: (await Promise.all(heads)).map(([head]) => head as number),
    balance: (await balance)?.[0],
  };
}

const counting = (length: number, scale = 0.1) => Array.from({ length }, (_, t) => scale * ((t * 7) % 11) - 0.5);

describe("headLoss", () => {
  // Half the square inside |d| < 2, 2 (|d| − 1) outside.
  test.for([
    [0, 0],
    [1, 0.5],
    [-1.5, 1.125],
    [2, 2],
    [5, 8],
    [-5, 8],
  ])("the error %d costs %d", async ([error, cost]) => {
    expect(await huber([[3 + (error as number)]], [3])).toBeCloseTo(cost as number, 6);
  });

  test("position t is held against the labels from t on, and against 0 past their end", async () => {
    // Predictions of 0 against the labels 1, 2 and 1, 2 · then 2, 0: ½, 2, 2, 0.
    const zeros = [
      [0, 0],
      [0, 0],
    ];
    expect(await huber(zeros, [1, 2])).toBeCloseTo((0.5 + 2 + 2 + 0) / 4, 6);
  });

  test("a mask moves with the labels and leaves the end out", async () => {
    const zeros = [
      [0, 0],
      [0, 0],
    ];
    expect(await huber(zeros, [1, 2], [1, 1])).toBeCloseTo((0.5 + 2 + 2) / 3, 6);
    expect(await huber(zeros, [1, 2], [0, 1])).toBeCloseTo(2, 6);
    expect(await huber(zeros, [1, 2], [0, 0])).toBe(0);
  });

  test("labels may go on past the positions", async () => {
    const zeros = [
      [0, 0],
      [0, 0],
    ];
    expect(await huber(zeros, [1, 2, 1], [1, 1, 1])).toBeCloseTo((0.5 + 2 + 2 + 0.5) / 4, 6);
  });
});

describe("timeMoeLoss", () => {
  const inputs = { values: counting(16), labels: counting(17).slice(1), lossMask: undefined, attentionMask: undefined };

  test("is the mean of the heads and the scaled balance loss", async () => {
    using model = await tinyModel({ router_aux_loss_factor: 0.5 });
    const { loss, heads, balance } = await losses(model, inputs);
    expect(heads).toHaveLength(3);
    expect(loss).toBeCloseTo(heads.reduce((a, b) => a + b) / 3 + 0.5 * (balance ?? Number.NaN), 5);
  });

  test("positions with less than minContext behind them do not count", async () => {
    using model = await tinyModel();
    const from = 10;
    const late = await losses(model, inputs, from);
    const masked = inputs.labels.map((_, t) => (t < from - 1 ? 0 : 1));
    // The first head looks one value ahead, so that a mask of labels is one of positions.
    expect(late.heads[0]).toBeCloseTo((await losses(model, { ...inputs, lossMask: masked })).heads[0] ?? Number.NaN, 5);
    expect(late.heads[2]).not.toBeCloseTo((await losses(model, inputs)).heads[2] ?? Number.NaN, 3);
    expect(late.balance).toBeCloseTo((await losses(model, inputs)).balance ?? Number.NaN, 6);
  });

  test.for([{ use_dense: true }, { apply_aux_loss: false }])("%j has no balance loss", async (config) => {
    using model = await tinyModel(config);
    const { loss, heads, balance } = await losses(model, inputs);
    expect(balance).toBeUndefined();
    expect(loss).toBeCloseTo(heads.reduce((a, b) => a + b) / 3, 5);
  });

  test.for([1, 2, 3])("the balance loss is k = %d when all probabilities are equal", async (k) => {
    using model = await tinyModel({ num_experts_per_tok: k });
    setRouters(model, () => 0);
    expect((await losses(model, inputs)).balance).toBeCloseTo(k, 5);
  });

  test("the balance loss is E when every token picks one expert with all the probability", async () => {
    using model = await tinyModel({ num_experts_per_tok: 1 });
    setRouters(model, (weight) => 1000 * weight);
    // The same number again and again: every position has the same hidden state.
    const constant = { ...inputs, values: new Array<number>(16).fill(0.7) };
    expect((await losses(model, { ...constant })).balance).toBeGreaterThan(2); // each layer has a favourite of its own
    using shallow = await tinyModel({ num_experts_per_tok: 1, num_hidden_layers: 1 });
    setRouters(shallow, (weight) => 1000 * weight);
    expect((await losses(shallow, constant)).balance).toBeCloseTo(4, 4);
  });

  test("padding does not count in the balance, with any k", async () => {
    using model = await tinyModel({ num_experts_per_tok: 3 });
    const padded = { ...inputs, values: [9, -9, 9, -9, ...counting(12)], labels: counting(16) };
    const attentionMask = [0, 0, 0, 0, ...new Array<number>(12).fill(1)];
    const short = { ...inputs, values: counting(12), labels: counting(12) };
    const masked = await losses(model, { ...padded, attentionMask });
    expect(masked.balance).toBeCloseTo((await losses(model, short)).balance ?? Number.NaN, 5);
  });
});

function setRouters(model: TimeMoe, value: (weight: number, index: number) => number): void {
  for (const [name, parameter] of model.parameters())
    if (name.endsWith(".gate.weight"))
      parameter.write(Float32Array.from({ length: parameter.size }, (_, i) => value(Math.sin(i + 1), i)));
}
