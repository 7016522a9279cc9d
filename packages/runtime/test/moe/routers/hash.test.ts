import { testDevice, uniformArray } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { balancedHashTable, HashRouter, NONE, randomHashTable } from "../../../src/moe/index.ts";
import { RandomKey, tensor } from "../../../src/tensor/index.ts";
import { checkContract, checkRouterLayer, routed } from "./router-checks.ts";

const device = await testDevice();

const table = [2, 0, 1, 1, 3];
const ids = (values: number[]) => ({ tokenIds: tensor(device, Uint32Array.from(values)) });
const make = () => new HashRouter(device, { hiddenSize: 5, numExperts: 4, table }).initialize(new RandomKey(1));

describe("HashRouter", () => {
  test("keeps the contract of routers", async () => {
    await checkContract(
      ({ topK: _, ...sizes }) => new HashRouter(device, { ...sizes, table: [0, 1, 1] }),
      new RandomKey(5),
      (numTokens) => ids(Array.from({ length: numTokens }, (_, n) => n % 3)),
    );
  });

  test("looks experts up by token id, with weight 1, whatever the tokens are", async () => {
    const { plan, weights, probs } = await routed(make(), uniformArray(6 * 5, 1), ids([4, 0, 0, 2, 1, 3]));
    expect(plan.assignmentExpert).toEqual([3, 2, 2, 1, 0, 1]);
    expect([...weights]).toEqual([1, 1, 1, 1, 1, 1]);
    expect([...probs.subarray(0, 8)]).toEqual([0, 0, 0, 1, 0, 0, 1, 0]);
  });

  test("an id beyond the table takes no expert", async () => {
    const { plan } = await routed(make(), uniformArray(2 * 5, 1), ids([5, 1]));
    expect(plan.assignmentExpert).toEqual([NONE, 0]);
    expect(plan.status[0]).toBe(1);
  });

  test("checkpoints hold the table, and training leaves it alone", async () => {
    const router = make();
    expect([...(await (router.parameters().get("table")?.read() ?? []))]).toEqual(table);
    expect(router.trainableParameters().size).toBe(0);
  });

  test("a layer has the gradients of float64 in its experts", async () => {
    const tokens = [4, 0, 0, 2, 1, 3];
    const router = make();
    router.parameters = () => new Map(); // the check would draw values for the table
    await checkRouterLayer({
      router,
      numTokens: 6,
      context: ids(tokens),
      reference: {
        scores: (rows) => rows.map(() => []),
        choose: () => tokens.map((id) => [table[id] as number]),
        weigh: (_, experts) => experts.map(() => 1),
      },
    });
  });

  test("needs an id for each token, and experts that exist", () => {
    const x = tensor(device, new Float32Array(10), [2, 5]);
    expect(() => make().route(x)).toThrow("HashRouter: context.tokenIds is missing for 2 tokens");
    expect(() => make().route(x, undefined, ids([1]))).toThrow("HashRouter: context.tokenIds [1] for 2 tokens");
    expect(() => new HashRouter(device, { hiddenSize: 5, numExperts: 3, table })).toThrow(
      "HashRouter: table[4] is 3, expected an expert below 3",
    );
  });
});

describe("hash tables", () => {
  test("a random table is spread, and the same for the same key", () => {
    const drawn = randomHashTable(4000, 8, new RandomKey(3));
    expect(drawn).toEqual(randomHashTable(4000, 8, new RandomKey(3)));
    for (let e = 0; e < 8; e++) {
      const size = drawn.filter((own) => own === e).length;
      expect(Math.abs(size - 500)).toBeLessThan(90); // four deviations
    }
  });

  test("a balanced table gives each next token to the expert with the least load", () => {
    // 9 to expert 0, 5 and 4 to 1; loads are equal then, and 3 goes to 0, which has fewer tokens; 2 and 0 go to 1.
    expect([...balancedHashTable([5, 9, 2, 4, 3, 0], 2)]).toEqual([1, 0, 1, 1, 0, 1]);
  });

  test("loads of a balanced table are nearly even for words of a language", () => {
    const counts = Array.from({ length: 2000 }, (_, rank) => Math.round(1e6 / (rank + 10)));
    const balanced = balancedHashTable(counts, 8);
    const loads = new Array<number>(8).fill(0);
    for (const [id, e] of balanced.entries()) loads[e] = (loads[e] as number) + (counts[id] as number);
    expect(Math.max(...loads) / Math.min(...loads)).toBeLessThan(1.01);
  });

  test("tokens that never occur are spread, too", () => {
    const sizes = new Array<number>(4).fill(0);
    for (const e of balancedHashTable(new Array(40).fill(0), 4)) sizes[e] = (sizes[e] as number) + 1;
    expect(sizes).toEqual([10, 10, 10, 10]);
    expect(() => balancedHashTable([1, -1], 2)).toThrow("balancedHashTable: counts[1] is -1, expected 0 or more");
  });
});
