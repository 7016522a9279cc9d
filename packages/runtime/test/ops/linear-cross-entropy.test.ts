import { checkOp, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { crossEntropy, linear, linearCrossEntropy, Tape } from "../../src/ops/index.ts";
import { scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();
const IGNORED = 0xffff_ff9c; // -100 as u32
const [N, H, V] = [13, 6, 17];
const classes = Uint32Array.from({ length: N }, (_, n) => (n % 5 === 2 ? IGNORED : (7 * n + 3) % V));
const targets = tensor(device, classes);

describe("linearCrossEntropy", () => {
  test.each([1, 4, 5, 13, 100])("%i rows at a time: values and gradients of float64", async (rowsAtOnce) => {
    await checkOp(device, {
      op: (x, weight) => linearCrossEntropy(x, weight, targets, { rowsAtOnce }),
      reference: (x, weight = new Float64Array()) => {
        let [loss, count] = [0, 0];
        for (const [n, target] of classes.entries()) {
          if (target === IGNORED) continue;
          const logits = Array.from({ length: V }, (_, v) => {
            let sum = 0;
            for (let h = 0; h < H; h++) sum += (x[n * H + h] as number) * (weight[v * H + h] as number);
            return sum;
          });
          const high = Math.max(...logits);
          loss += high + Math.log(logits.reduce((sum, l) => sum + Math.exp(l - high), 0)) - (logits[target] as number);
          count++;
        }
        return [loss / count];
      },
      inputs: [{ shape: [N, H] }, { shape: [V, H], low: -2, high: 2 }],
    });
  });

  test("takes memory for a chunk of logits alone", () => {
    const [rows, vocabulary] = [256, 2048];
    const x = tensor(device, Float32Array.from(uniformArray(rows * 8, 1)), [rows, 8]);
    const weight = tensor(device, Float32Array.from(uniformArray(vocabulary * 8, 2)), [vocabulary, 8]);
    const ids = tensor(
      device,
      Uint32Array.from({ length: rows }, (_, n) => n),
    );
    const peakOf = (fn: () => unknown) => {
      const before = device.memory.use.inUseBytes;
      let most = 0;
      scope(() => {
        const tape = new Tape([x, weight]);
        const loss = tape.run(() => fn()) as ReturnType<typeof linear>;
        most = device.memory.use.inUseBytes - before;
        tape.backward(loss);
      });
      return most;
    };
    const chunked = peakOf(() => linearCrossEntropy(x, weight, ids, { rowsAtOnce: 16 }));
    const whole = peakOf(() => crossEntropy(linear(x, weight), ids));
    expect(whole).toBeGreaterThan(4 * rows * vocabulary); // the tape keeps the logits
    expect(chunked).toBeLessThan(4 * 16 * vocabulary);
  });

  test("all rows ignored cost nothing, and shapes that do not fit are refused", async () => {
    const x = tensor(device, new Float32Array(2 * H), [2, H]);
    const weight = tensor(device, new Float32Array(V * H), [V, H]);
    const none = tensor(device, Uint32Array.of(IGNORED, IGNORED));
    expect((await scope(() => ({ loss: linearCrossEntropy(x, weight, none).read() })).loss)[0]).toBe(0);
    expect(() => linearCrossEntropy(x, weight, targets)).toThrow("targets");
    expect(() => linearCrossEntropy(x, weight, none, { rowsAtOnce: 0 })).toThrow("rowsAtOnce is 0");
  });
});
