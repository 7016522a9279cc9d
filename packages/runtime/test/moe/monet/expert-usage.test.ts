import { expectClose, testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { domainExperts, ExpertUsage, type ProductRouting, topExperts } from "../../../src/moe/index.ts";
import { scope, tensor } from "../../../src/tensor/index.ts";

const device = await testDevice();

const [N, heads, M] = [7, 2, 5];
const gates = [1, 2].map((seed) => Float32Array.from(uniformArray(N * heads * M, seed, 0, 1))) as [
  Float32Array<ArrayBuffer>,
  Float32Array<ArrayBuffer>,
];

/** Tokens `from` to `to`. */
function routing(from = 0, to = N): ProductRouting {
  const [g1, g2] = gates.map((values) =>
    tensor(device, values.slice(from * heads * M, to * heads * M), [to - from, heads, M]),
  ) as [ProductRouting["g1"], ProductRouting["g2"]];
  return { kind: "product", g1, g2, norm1: g1, norm2: g2 };
}

/** [M · M] weights of token n. */
const weightsOf = (n: number) =>
  Array.from({ length: M * M }, (_, expert) => {
    let weight = 0;
    for (let h = 0; h < heads; h++) {
      const row = (n * heads + h) * M;
      weight += (gates[0][row + Math.floor(expert / M)] as number) * (gates[1][row + (expert % M)] as number);
    }
    return weight;
  });

describe("topExperts", () => {
  test("are the pairs of highest weight of each token", async () => {
    const { weights, experts } = scope(() => {
      const { weights, experts } = topExperts(routing(), 3);
      return { weights: weights.read(), experts: experts.read() };
    });
    const expected = [...Array(N).keys()].map((n) => {
      const all = weightsOf(n);
      return [...all.keys()].sort((a, b) => (all[b] as number) - (all[a] as number)).slice(0, 3);
    });
    expect([...(await experts)]).toEqual(expected.flat());
    expectClose(
      "weights",
      await weights,
      expected.flatMap((chosen, n) => chosen.map((expert) => weightsOf(n)[expert] as number)),
      1e-6,
    );
  });

  test("of 262,144 experts are found a few tokens at a time", async () => {
    const [tokens, keys] = [20, 512]; // 16 tokens fill the room for weights
    const first = new Float32Array(tokens * keys);
    const second = new Float32Array(tokens * keys);
    for (let n = 0; n < tokens; n++) {
      first[n * keys + 3 * n] = 1;
      second[n * keys + 511 - n] = 1;
    }
    const { experts } = scope(() => {
      const [g1, g2] = [tensor(device, first, [tokens, 1, keys]), tensor(device, second, [tokens, 1, keys])];
      return { experts: topExperts({ kind: "product", g1, g2, norm1: g1, norm2: g2 }, 1).experts.read() };
    });
    expect([...(await experts)]).toEqual(Array.from({ length: tokens }, (_, n) => 3 * n * keys + 511 - n));
  });

  test("more than there are is an error", () => {
    expect(() => scope(() => topExperts(routing(), 26))).toThrow("topExperts: need 1 ≤ k ≤ 25, got k=26");
  });
});

describe("ExpertUsage", () => {
  test("is the mean weight over all steps", async () => {
    using usage = new ExpertUsage(device, M);
    scope(() => {
      usage.add(routing(0, 3));
      usage.add(routing(3, N));
    });
    const expected = weightsOf(0).map(
      (_, expert) => [...Array(N).keys()].reduce((sum, n) => sum + (weightsOf(n)[expert] as number), 0) / N,
    );
    expectClose("usage", await usage.read(), expected, 1e-6);
  });

  test("leaves padding out", async () => {
    using usage = new ExpertUsage(device, M);
    scope(() => usage.add(routing(0, 3), { mask: tensor(device, [0, 1, 0]) }));
    expectClose("usage", await usage.read(), weightsOf(1), 1e-6);
  });

  test("of no tokens is 0", async () => {
    using usage = new ExpertUsage(device, M);
    expect(await usage.read()).toEqual(new Float32Array(M * M));
  });
});

test("an expert belongs to the domain that uses it at least twice as much as any other", () => {
  const usage = new Map([
    ["prose", [0.4, 0.3, 0, 0.1]],
    ["code", [0.1, 0.2, 0, 0.5]],
    ["maths", [0.2, 0.1, 0, 0.25]],
  ]);
  expect(domainExperts(usage)).toEqual(
    new Map([
      ["prose", [[0, 0]]],
      ["code", [[1, 1]]],
      ["maths", []],
    ]),
  );
  expect(domainExperts(usage, { ratio: 1.4 }).get("prose")).toEqual([
    [0, 0],
    [0, 1],
  ]);
  expect(() => domainExperts(new Map([["prose", [1, 2, 3]]]))).toThrow('domain "prose" has 3 weights, expected M²');
});
