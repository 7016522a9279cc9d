import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { formatTrace, parseTrace, sparseRouting, type TraceHeader, traceVisits } from "../../src/moe/index.ts";
import { tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

const header: TraceHeader = {
  model: "tiny",
  layers: 2,
  experts: 4,
  top_k: 2,
  expert_bytes: [4096, 8192],
  bits_per_weight: 32,
};

function routing(experts: number[], { mask, capacity }: { mask?: number[]; capacity?: number } = {}) {
  const tokens = experts.length / 2;
  const weights = experts.map((_, a) => (a + 1) / 10);
  const probs = tensor(device, new Float32Array(tokens * 4), [tokens, 4]);
  return sparseRouting({
    indices: tensor(device, Uint32Array.from(experts), [tokens, 2]),
    weights: tensor(device, weights, [tokens, 2]),
    probs,
    logits: probs,
    mask: mask && tensor(device, mask),
    capacity,
  });
}

describe("a routing trace", () => {
  test("lists the experts that ran, best first, without padding and dropped ones", async () => {
    const visits = await traceVisits(7, [
      routing([3, 1, 0, 2, 3, 0], { mask: [1, 0, 1] }),
      routing([3, 1, 3, 2, 3, 0], { capacity: 2 }),
    ]);
    const weights = (...rows: number[][]) => rows.map((row) => row.map(Math.fround));
    expect(visits).toEqual([
      { step: 7, layer: 0, tokens: [[3, 1], [], [3, 0]], weights: weights([0.1, 0.2], [], [0.5, 0.6]) },
      { step: 7, layer: 1, tokens: [[3, 1], [3, 2], [0]], weights: weights([0.1, 0.2], [0.3, 0.4], [0.6]) },
    ]);
  });

  test("survives the way to a file and back", async () => {
    const visits = [
      ...(await traceVisits(0, [routing([0, 1, 2, 3]), routing([3, 2])])),
      { step: 1, layer: 1, tokens: [[2]] },
    ];
    const text = formatTrace({ header, visits });
    expect(text.split("\n")).toHaveLength(5); // header, three visits, and the end of the last line
    expect(parseTrace(text)).toEqual({ header, visits });
  });

  test.each([
    ["", "trace: line 1 must be a header with layers, experts and top_k"],
    ['{"layers": 2}\n', "trace: line 1 must be a header"],
    [`${JSON.stringify(header)}\n\n{"step": 0,\n`, "trace: line 3 is not a JSON object"],
    [`${JSON.stringify(header)}\n[]\n`, "trace: line 2: layer undefined is none of 2"],
    [`${JSON.stringify(header)}\n{"step": 0, "layer": 2, "tokens": []}\n`, "trace: line 2: layer 2 is none of 2"],
    [`${JSON.stringify(header)}\n{"step": 0, "layer": 1, "tokens": [[4]]}\n`, "must be lists of expert ids below 4"],
  ])("%j is refused", (text, message) => {
    expect(() => parseTrace(text)).toThrow(message);
  });
});
