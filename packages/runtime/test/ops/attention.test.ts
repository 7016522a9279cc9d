import { checkOp, expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { ShapeError, ValueError } from "../../src/device/index.ts";
import { attentionForward, planAttention } from "../../src/kernels/attention.ts";
import { attentionBackward } from "../../src/kernels/attention-backward.ts";
import { type AttentionOptions, attention } from "../../src/ops/attention.ts";
import { Tape } from "../../src/ops/tape.ts";
import { scope, sizeOf, type Tensor, tensor } from "../../src/tensor/index.ts";
import { attentionReference, type ReferenceCase } from "./attention-reference.ts";

const device = await testDevice();

const shapeQ = ({ B, T, A, D }: ReferenceCase) => [B, T, A, D];
const shapeK = ({ B, S, A, Akv = A, D }: ReferenceCase) => [B, S, Akv, D];
/** Three of four keys are real. */
const someMask = (B: number, S: number) =>
  Uint32Array.from({ length: B * S }, (_, i) => ((i * 7 + 3) % 4 === 0 ? 0 : 1));

function optionsOf({
  B,
  S,
  mask,
  causal,
  slidingWindow,
  queryOffset,
  keyLength,
  scale,
}: ReferenceCase): AttentionOptions {
  return {
    ...(causal === undefined ? {} : { causal }),
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
    ...(queryOffset === undefined ? {} : { queryOffset }),
    ...(keyLength === undefined ? {} : { keyLength }),
    ...(scale === undefined ? {} : { scale }),
    ...(mask ? { keyMask: tensor(device, Uint32Array.from(mask), [B, S]) } : {}),
  };
}

const check = (c: ReferenceCase) =>
  checkOp(device, {
    op: (q, k, v) => attention(q, k, v, optionsOf(c)),
    reference: (q, k, v) => attentionReference(c, q, k, v),
    inputs: [{ shape: shapeQ(c), low: -2, high: 2 }, { shape: shapeK(c), low: -2, high: 2 }, { shape: shapeK(c) }],
    tolerance: 3e-6,
  });

/** One query takes the kernel for decoding, many the tiles; both must agree with the reference. */
describe("attention matches float64, and so does its gradient", () => {
  const cases: [name: string, c: ReferenceCase][] = [
    ["one query, one key", { B: 1, T: 1, S: 1, A: 1, D: 4 }],
    ["tiles: full", { B: 2, T: 45, S: 45, A: 2, D: 8 }],
    ["tiles: causal", { B: 2, T: 67, S: 67, A: 2, D: 12, causal: true }],
    ["tiles: a head size that is no multiple of four", { B: 1, T: 35, S: 37, A: 2, D: 6, causal: true }],
    ["tiles: grouped heads", { B: 1, T: 34, S: 34, A: 6, Akv: 2, D: 8, causal: true }],
    ["tiles: one key/value head for all", { B: 2, T: 33, S: 21, A: 3, Akv: 1, D: 4 }],
    ["tiles: cross attention, fewer keys", { B: 2, T: 40, S: 7, A: 2, D: 8 }],
    ["tiles: cross attention, more keys", { B: 1, T: 33, S: 81, A: 2, D: 8 }],
    ["tiles: causal after earlier keys", { B: 1, T: 39, S: 70, A: 1, D: 8, causal: true }],
    ["tiles: causal with an offset", { B: 1, T: 39, S: 70, A: 1, D: 8, causal: true, queryOffset: 10 }],
    ["tiles: a causal window", { B: 1, T: 90, S: 90, A: 2, D: 8, causal: true, slidingWindow: 13 }],
    ["tiles: a window on both sides", { B: 1, T: 90, S: 90, A: 1, D: 4, slidingWindow: 5 }],
    ["tiles: a key mask", { B: 2, T: 41, S: 41, A: 2, D: 8, causal: true, mask: someMask(2, 41) }],
    ["tiles: room behind the keys", { B: 2, T: 40, S: 64, A: 2, D: 8, causal: true, keyLength: 43 }],
    [
      "tiles: everything at once",
      {
        B: 2,
        T: 35,
        S: 83,
        A: 4,
        Akv: 2,
        D: 12,
        causal: true,
        slidingWindow: 30,
        keyLength: 71,
        queryOffset: 35,
        mask: someMask(2, 83),
        scale: 0.5,
      },
    ],
    ["one query: full", { B: 2, T: 1, S: 45, A: 2, D: 8 }],
    ["one query: causal with an offset", { B: 2, T: 1, queryOffset: 50, S: 67, A: 2, D: 12, causal: true }],
    ["one query: a head size that is no multiple of four", { B: 1, T: 1, S: 37, A: 2, D: 6, causal: true }],
    [
      "one query: grouped heads and a window",
      { B: 1, T: 1, S: 90, A: 6, Akv: 2, D: 36, causal: true, slidingWindow: 13 },
    ],
    [
      "one query: a key mask and room behind the keys",
      { B: 2, T: 1, S: 64, A: 2, D: 8, causal: true, keyLength: 43, mask: someMask(2, 64) },
    ],
    ["one query: keys in several chunks", { B: 1, T: 1, S: 1100, A: 2, D: 4, causal: true }],
  ];
  test.each(cases)("%s", (_, c) => check(c));

  test("heads of 128 and 256", async () => {
    await check({ B: 1, T: 34, S: 34, A: 1, D: 128, causal: true });
    await check({ B: 1, T: 1, S: 19, A: 1, D: 256 });
  });
});

async function run(
  c: ReferenceCase,
  more: AttentionOptions = {},
  seed = 5,
): Promise<{ values: Float32Array; expected: Float64Array }> {
  const [q, k, v] = [shapeQ(c), shapeK(c), shapeK(c)].map((shape, i) => uniformArray(sizeOf(shape), seed + i));
  const [tq, tk, tv] = [q, k, v].map((data, i) =>
    tensor(device, Float32Array.from(data ?? []), i === 0 ? shapeQ(c) : shapeK(c)),
  );
  const out = attention(tq as Tensor<"f32">, tk as Tensor<"f32">, tv as Tensor<"f32">, { ...optionsOf(c), ...more });
  return {
    values: await out.read(),
    expected: attentionReference(c, q as Float64Array, k as Float64Array, v as Float64Array),
  };
}

describe("a query that sees no key", () => {
  const mask = Uint32Array.from({ length: 2 * 40 }, (_, i) => (i < 40 ? 0 : 1)); // all of the first entry is padding

  test.each([40, 1])("gives zeros and no gradient (T = %i)", async (T) => {
    await check({ B: 2, T, S: 40, A: 2, D: 8, mask });
    const { values } = await run({ B: 2, T, S: 40, A: 2, D: 8, mask });
    expect(values.subarray(0, values.length / 2).every((x) => x === 0)).toBe(true);
    expect(values.subarray(values.length / 2).every((x) => x !== 0 && Number.isFinite(x))).toBe(true);
  });

  test("happens to the first rows under left padding", () =>
    check({
      B: 1,
      T: 37,
      S: 37,
      A: 1,
      D: 8,
      causal: true,
      mask: Uint32Array.from({ length: 37 }, (_, s) => (s < 20 ? 0 : 1)),
    }));

  test("happens when there are no keys at all", async () => {
    for (const T of [1, 40]) {
      const { values } = await run({ B: 1, T, S: 8, A: 1, D: 4, keyLength: 0 });
      expect(values.every((x) => x === 0)).toBe(true);
    }
  });
});

test("large scores do not overflow", async () => {
  const c: ReferenceCase = { B: 1, T: 40, S: 40, A: 1, D: 8, causal: true, scale: 1000 };
  const { values, expected } = await run(c);
  expectClose("value", values, expected, 1e-3); // scores of some thousands carry an error of 1e-4 into the exponent
});

test("masks of u32 and f32 mean the same", async () => {
  const c: ReferenceCase = { B: 2, T: 40, S: 40, A: 1, D: 8 };
  const mask = someMask(2, 40);
  const [u32, f32] = [
    await run({ ...c, mask }),
    await run(c, { keyMask: tensor(device, Float32Array.from(mask), [2, 40]) }),
  ];
  expect(f32.values).toEqual(u32.values);
});

test("an empty batch and zero queries give empty results", async () => {
  expect((await run({ B: 0, T: 3, S: 3, A: 1, D: 4 })).values.length).toBe(0);
  expect((await run({ B: 1, T: 0, S: 3, A: 1, D: 4 })).values.length).toBe(0);
});

test("permuting the batch permutes the output, and repeating a call repeats every bit", async () => {
  const size = 40 * 2 * 8;
  const [q, k, v] = [1, 2, 3].map((seed) => Float32Array.from(uniformArray(2 * size, seed)));
  const swap = (x: Float32Array) => Float32Array.from([...x.subarray(size), ...x.subarray(0, size)]);
  const call = (inputs: (Float32Array | undefined)[]) => {
    const [a, b, c] = inputs.map((x) => tensor(device, Float32Array.from(x ?? []), [2, 40, 2, 8])) as Tensor<"f32">[];
    return attention(a as Tensor<"f32">, b as Tensor<"f32">, c as Tensor<"f32">, { causal: true }).read();
  };
  const plain = await call([q, k, v]);
  expect(await call([q, k, v])).toEqual(plain);
  expect(await call([q, k, v].map((x) => swap(x as Float32Array)))).toEqual(swap(plain));
});

/** The op's operands for kernels called directly, with those of its gradient. */
function operands(c: ReferenceCase): [Tensor<"f32">, Tensor<"f32">, Tensor<"f32">, Tensor<"f32">] {
  return [shapeQ(c), shapeK(c), shapeK(c), shapeQ(c)].map((shape, i) =>
    tensor(device, Float32Array.from(uniformArray(sizeOf(shape), 20 + i)), shape),
  ) as [Tensor<"f32">, Tensor<"f32">, Tensor<"f32">, Tensor<"f32">];
}

test("tiles without subgroups agree with the device's own, forward and backward", async () => {
  const c = {
    B: 1,
    T: 70,
    S: 61,
    A: 2,
    Akv: 1,
    D: 12,
    causal: true,
    queryOffset: 3,
    slidingWindow: 40,
    mask: someMask(1, 61),
  };
  const [q, k, v, dout] = operands(c);
  const options = optionsOf(c);
  const plan = planAttention(q, k, v, options);
  const results = [device.subgroupSize, 0].map((subgroupSize) => {
    const { out, logsumexp } = attentionForward(q, k, v, plan, options, subgroupSize);
    const trace = { q, k, v, keyMask: options.keyMask, out, logsumexp };
    const { dq, dk, dv } = attentionBackward(dout, trace, plan, { queries: true, keysAndValues: true }, subgroupSize);
    return [out, dq, dk, dv].map((x) => (x as Tensor<"f32">).read());
  });
  const [own = [], plain = []] = await Promise.all(results.map((reads) => Promise.all(reads)));
  for (const [i, name] of ["out", "dq", "dk", "dv"].entries()) expectClose(name, plain[i] ?? [], own[i] ?? [], 2e-6);
});

test("wide devices decode a few queries at once, each as it would be alone", async () => {
  const c = { B: 2, T: 4, S: 37, A: 4, Akv: 2, D: 20, causal: true };
  const [q, k, v] = operands(c);
  const { out } = attentionForward(q, k, v, planAttention(q, k, v, c), c, 0);
  expectClose("value", await out.read(), await attention(q, k, v, c).read(), 2e-6);
});

test("planAttention counts the pairs that are seen", () => {
  for (const T of [1, 5, 9])
    for (const causal of [true, false])
      for (const slidingWindow of [undefined, 1, 4])
        for (const queryOffset of [0, 3, 12]) {
          const c = { B: 2, T, S: 10, A: 3, D: 4, causal, queryOffset, ...(slidingWindow ? { slidingWindow } : {}) };
          const [q, k, v] = operands(c);
          let pairs = 0;
          for (let t = queryOffset; t < queryOffset + T; t++)
            for (let s = 0; s < 10; s++) if ((!causal || s <= t) && Math.abs(t - s) < (slidingWindow ?? 99)) pairs += 6;
          expect(planAttention(q, k, v, c).pairs).toBe(pairs);
        }
});

test("memory does not grow with T times S", () => {
  const c = { B: 1, T: 3000, S: 3000, A: 1, D: 4, causal: true }; // scores would take 36 MB
  const before = device.memory.use.allocatedBytes;
  const gradients = scope(() => {
    const [q, k, v, seed] = operands(c);
    const tape = new Tape([q, k, v]);
    return [
      ...tape
        .backward(
          tape.run(() => attention(q, k, v, c)),
          seed,
        )
        .values(),
    ];
  });
  for (const gradient of gradients) gradient.dispose();
  expect(device.memory.use.allocatedBytes - before).toBeLessThan(2e6);
});

describe("attention refuses", () => {
  const zeros = (...shape: number[]) => tensor(device, new Float32Array(sizeOf(shape)), shape);
  const q = zeros(1, 3, 4, 8);
  const k = zeros(1, 2, 2, 8);
  test.each([
    [
      "heads that do not divide",
      () => attention(q, zeros(1, 3, 3, 8), zeros(1, 3, 3, 8)),
      ShapeError,
      "4 query heads are no multiple of 3",
    ],
    [
      "another head size",
      () => attention(q, zeros(1, 2, 2, 4), k),
      ShapeError,
      "k has shape [1, 2, 2, 4], expected [1, 2, 2, 8]",
    ],
    ["values of another length", () => attention(q, k, zeros(1, 3, 2, 8)), ShapeError, "v has shape [1, 3, 2, 8]"],
    [
      "heads beyond 256",
      () => attention(zeros(1, 1, 1, 260), zeros(1, 1, 1, 260), zeros(1, 1, 1, 260)),
      ShapeError,
      "260",
    ],
    [
      "a mask that is too short",
      () => attention(q, k, k, { keyMask: zeros(1, 1) }),
      ShapeError,
      "keyMask has shape [1, 1], expected [1, 2]",
    ],
    ["more causal queries than keys", () => attention(q, k, k, { causal: true }), ValueError, "queryOffset is -1"],
    [
      "more keys than there are",
      () => attention(q, k, k, { keyLength: 3 }),
      ValueError,
      "keyLength is 3, expected 0 to S = 2",
    ],
    ["an empty window", () => attention(q, k, k, { slidingWindow: 0 }), ValueError, "slidingWindow is 0"],
  ] as const)("%s", (_, call, type, message) => {
    expect(call).toThrow(type);
    expect(call).toThrow(message);
  });
});
