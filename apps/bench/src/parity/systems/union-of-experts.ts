import type { Device } from "@moebius/runtime/device";
import { selectTokens, type TokenSelection, UnionAttention, UnionFeedForward } from "@moebius/runtime/moe";
import type { Module } from "@moebius/runtime/nn";
import { add, rotaryTables, Tape } from "@moebius/runtime/ops";
import { scope, tensor } from "@moebius/runtime/tensor";
import type { Golden } from "../golden.ts";
import type { ParitySystem } from "../system.ts";

// As the goldens' README states them.
const OUTPUT = { absolute: 1e-5 };
const GRADIENT = { ofLargest: 3e-4 };
const EXACT = { absolute: 0 };

/** The attention block and the MLP block of union of experts, each run on the same x. */
export const unionOfExperts: ParitySystem = {
  name: "union-of-experts",
  recognises: ({ config, name }) => config.model_type === "uoe_layers" || name.startsWith("union-of-experts"),
  async run(golden, device) {
    const [hiddenSize, headDim] = [golden.number("d_model"), golden.number("d_head")];
    const preNorm = golden.config.pre_lnorm === true;
    using attn = new UnionAttention(device, { hiddenSize, headDim, numExperts: golden.number("n_head"), preNorm });
    using mlp = new UnionFeedForward(device, {
      hiddenSize,
      intermediateSize: golden.number("d_inner"),
      numExperts: golden.number("n_experts"),
      topK: golden.number("topk"),
      preNorm,
    });
    await load(golden, { attn, mlp });
    await compareBlocks(golden, device, attn, mlp);
  },
};

/** `mlp.linear3` is in the file but in no formula. */
async function load(golden: Golden, parts: Record<string, Module>): Promise<void> {
  const weights = await golden.readWeights();
  for (const [prefix, part] of Object.entries(parts))
    part.load(
      new Map(
        [...part.parameters().keys()].flatMap((name) => {
          const values = weights.get(`${prefix}.${name}`);
          return values ? [[name, values] as const] : [];
        }),
      ),
    );
}

async function compareBlocks(
  golden: Golden,
  device: Device,
  attn: UnionAttention,
  mlp: UnionFeedForward,
): Promise<void> {
  const shape = golden.shape("x");
  const { blocks, gradients } = scope(() => {
    const x = tensor(device, golden.values("x"), shape);
    const tables = rotaryTables(device, { maxPositions: shape[1] ?? 1, dim: attn.headDim });
    const inputs = [
      ["x", x] as const,
      ...[...attn.parameters()].map(([name, parameter]) => [`attn.${name}`, parameter] as const),
      ...[...mlp.parameters()].map(([name, parameter]) => [`mlp.${name}`, parameter] as const),
    ];
    const tape = new Tape(inputs.map(([, input]) => input));
    const { outputs, sum } = tape.run(() => {
      const attended = attn.forward(x, { ...tables, selection: storedSelection(golden, device, "attn") });
      const mapped = mlp.forward(x, { selection: storedSelection(golden, device, "mlp") });
      return { outputs: { attn: attended, mlp: mapped }, sum: add(attended.y, mapped.y) };
    });
    const found = tape.backward(sum, tensor(device, golden.values("grad_out"), shape));
    const named = [["attn", attn.rule, outputs.attn] as const, ["mlp", mlp.rule, outputs.mlp] as const];
    return {
      blocks: named.map(([name, rule, { y, scores }]) => ({
        name,
        y: y.read(),
        scores: scores.scores.read(),
        choice: selectTokens(scores.scores, rule).indices.read(),
      })),
      gradients: inputs.map(([name, input]) => ({ name, size: input.size, gradient: found.get(input)?.read() })),
    };
  });
  for (const { name, y, scores, choice } of blocks) {
    golden.compare(`${name}.out`, await y, OUTPUT);
    golden.compare(`${name}.score`, await scores, OUTPUT);
    golden.compare(`${name}.token_index`, withGivenFill(golden, name, await choice, await scores), EXACT);
  }
  for (const { name, size, gradient } of gradients)
    golden.compare(`grad.${name}`, (await gradient) ?? new Float32Array(size), GRADIENT);
}

/** The tokens that the reference took, whose order of filling up torch leaves undefined. */
function storedSelection(golden: Golden, device: Device, block: string): TokenSelection {
  const name = `${block}.token_index`;
  const shape = golden.shape(name);
  return {
    indices: tensor(device, Uint32Array.from(golden.values(name)), shape),
    used: tensor(device, Uint32Array.of(shape[2] ?? 0), []),
  };
}

/** Our choice among the tokens with a positive score, together with the reference's tokens that fill the experts up. */
function withGivenFill(golden: Golden, block: string, own: ArrayLike<number>, scores: ArrayLike<number>): number[] {
  const stored = golden.values(`${block}.token_index`);
  const [E = 1, B = 1, slots = 1] = golden.shape(`${block}.token_index`);
  const [T, ownSlots] = [scores.length / (E * B), own.length / (E * B)];
  return Array.from({ length: E * B }, (_, row) => {
    const [e, b] = [Math.floor(row / B), row % B];
    const isPositive = (token: number) => (scores[(b * T + token) * E + e] as number) > 0;
    const ours = Array.from({ length: ownSlots }, (_, s) => own[row * ownSlots + s] as number).filter(isPositive);
    const given = [...stored.subarray(row * slots, (row + 1) * slots)].filter((token) => !isPositive(token));
    return [...ours, ...given].sort((a, b) => a - b);
  }).flat();
}
