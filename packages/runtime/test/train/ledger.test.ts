import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { zeros } from "../../src/nn/initializers.ts";
import { Parameter } from "../../src/nn/module.ts";
import { type Tensor, tensor } from "../../src/tensor/index.ts";
import { GradientLedger } from "../../src/train/index.ts";

const device = await testDevice();
const NAME = "layers.0.experts.up_proj";

function parameter(shape: number[], values: ArrayLike<number>): Parameter {
  const made = new Parameter(device, shape, zeros);
  made.write(Float32Array.from(values));
  return made;
}

/** Two experts of two by two weights, all 1. */
const bankOfTwo = () => parameter([2, 2, 2], new Array(8).fill(1));
const load = (...tokensPerExpert: number[]) => [{ tokensPerExpert, routerEntropy: 0, loadEntropy: 0, dropRate: 0 }];

/** Writes a page; `gradient` is the value of all its elements, one number an expert. */
async function page(
  ledger: GradientLedger,
  step: number,
  given: { bank: Parameter; gradient?: [number, number]; tokens: [number, number] },
) {
  const { bank, gradient, tokens } = given;
  const values = gradient?.flatMap((value) => [value, value, value, value]) ?? [];
  const gradients = new Map<Tensor, Tensor<"f32">>(gradient ? [[bank, tensor(device, values, bank.shape)]] : []);
  return ledger.close(step, await ledger.record(gradients), load(...tokens));
}

describe("GradientLedger", () => {
  test("lists the gradient norm of each expert, and who has none or has not moved", async () => {
    const bank = bankOfTwo();
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    const first = await page(ledger, 0, { bank, gradient: [3, 0], tokens: [5, 0] });
    // sqrt(4 · 3²) = 6
    expect(first).toEqual({
      step: 0,
      gradientNorms: { [NAME]: [6, 0] },
      withoutGradient: [`${NAME}[1]`],
      unmoved: [],
    });
    bank.write(Float32Array.of(2, 1, 1, 1, 1, 1, 1, 1));
    expect((await page(ledger, 50, { bank, gradient: [3, 1], tokens: [5, 5] })).unmoved).toEqual([`${NAME}[1]`]);
  });

  test("sums gradients of many chunks", async () => {
    const values = uniformArray(2 * 3001, 3);
    const bank = parameter([2, 3001, 1], values);
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    const gradient = tensor(device, Float32Array.from(values), bank.shape);
    const { gradientNorms } = ledger.close(0, await ledger.record(new Map([[bank, gradient]])), []);
    expect(gradientNorms[NAME]?.[0]).toBeCloseTo(Math.hypot(...values.subarray(0, 3001)), 4);
    expect(gradientNorms[NAME]?.[1]).toBeCloseTo(Math.hypot(...values.subarray(3001)), 4);
  });

  test("an expert with tokens and no gradient on two pages in a row is an error, on one it is not", async () => {
    const bank = bankOfTwo();
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    await page(ledger, 0, { bank, gradient: [1, 0], tokens: [5, 7] });
    bank.write(new Float32Array(8).fill(2));
    await expect(page(ledger, 50, { bank, gradient: [1, 0], tokens: [5, 7] })).rejects.toThrow(
      `step 50: ${NAME}[1] received 7 tokens but no gradient`,
    );
  });

  test("a whole bank cut off from the loss is found as well", async () => {
    const bank = bankOfTwo();
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    await page(ledger, 0, { bank, tokens: [5, 7] });
    await expect(page(ledger, 50, { bank, tokens: [5, 7] })).rejects.toThrow(`${NAME}[0] received 5 tokens`);
  });

  test("an expert without tokens may rest as long as it likes, and then begin", async () => {
    const bank = bankOfTwo();
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    for (let step = 0; step < 5; step++) {
      await page(ledger, step, { bank, gradient: [1, 0], tokens: [5, 0] });
      bank.write(Float32Array.of(2 + step, 1, 1, 1, 1, 1, 1, 1));
    }
    await expect(page(ledger, 5, { bank, gradient: [1, 1], tokens: [5, 3] })).resolves.toMatchObject({ step: 5 });
  });

  test("an expert that has a gradient and keeps every bit over two pages is an error", async () => {
    const bank = bankOfTwo();
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    for (let step = 0; step < 2; step++) {
      await page(ledger, step, { bank, gradient: [1, 1], tokens: [5, 5] });
      bank.write(Float32Array.of(2 + step, 1, 1, 1, 1, 1, 1, 1));
    }
    await expect(page(ledger, 2, { bank, gradient: [1, 1], tokens: [5, 5] })).rejects.toThrow(
      `step 2: ${NAME}[1] has a gradient but has never moved`,
    );
  });

  test("weights that changed places have moved", async () => {
    const bank = bankOfTwo();
    const ledger = new GradientLedger(new Map([[NAME, bank]]));
    bank.write(Float32Array.of(1, 2, 1, 1, 1, 2, 1, 1));
    await page(ledger, 0, { bank, gradient: [1, 1], tokens: [5, 5] });
    bank.write(Float32Array.of(2, 1, 1, 1, 2, 1, 1, 1));
    expect((await page(ledger, 1, { bank, gradient: [1, 1], tokens: [5, 5] })).unmoved).toEqual([]);
  });

  test("a matrix that never moves is an error, a vector is listed", async () => {
    const [weight, norm] = [parameter([2, 2], [1, 1, 1, 1]), parameter([3], [1, 1, 1])];
    const gradients = new Map<Tensor, Tensor<"f32">>([
      [weight, tensor(device, [1, 1, 1, 1], [2, 2])],
      [norm, tensor(device, [1, 1, 1])],
    ]);
    const vectors = new GradientLedger(new Map([["norm", norm]]));
    for (let step = 0; step < 4; step++) vectors.close(step, await vectors.record(gradients), []);
    expect(vectors.close(4, await vectors.record(gradients), []).unmoved).toEqual(["norm"]);
    const matrices = new GradientLedger(new Map([["q_proj", weight]]));
    for (let step = 0; step < 2; step++) matrices.close(step, await matrices.record(gradients), []);
    const entries = await matrices.record(gradients);
    expect(() => matrices.close(2, entries, [])).toThrow("q_proj has a gradient but has never moved");
  });
});
