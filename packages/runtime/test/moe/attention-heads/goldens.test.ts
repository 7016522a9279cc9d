import { expectClose, hasShared, sharedPath, testDevice } from "@moebius/testing";
import { describe, test } from "vitest";
import { fileSource, openSafetensors, type Safetensors, toFloat32, toInt32 } from "../../../src/io/index.ts";
import {
  AttentionHeadExperts,
  MixtureOfAttentionHeads,
  Router,
  type Routing,
  sparseRouting,
  stickBreakingAttention,
  TopKRouter,
} from "../../../src/moe/index.ts";
import { LayerNorm, Linear, type Module, RmsNorm } from "../../../src/nn/index.ts";
import { rotaryTables } from "../../../src/ops/index.ts";
import { scope, type Tensor, tensor } from "../../../src/tensor/index.ts";

const device = await testDevice();

type F32 = Tensor<"f32">;

/** Weights and stored tensors of a golden. */
async function open(name: string) {
  const file = async (part: string) =>
    openSafetensors(await fileSource(sharedPath(`goldens/${name}/${part}.safetensors`)));
  return { weights: await file("model"), io: await file("io") };
}

const values = async (file: Safetensors, name: string) => Float32Array.from(toFloat32(await file.read(name)));

/** Fills a module from the file, `published` telling the name there. */
async function load(module: Module, file: Safetensors, published: (name: string) => string): Promise<void> {
  const found = new Map<string, Float32Array<ArrayBuffer>>();
  for (const name of module.parameters().keys()) found.set(name, await values(file, published(name)));
  module.load(found);
}

/** Gives the tokens the experts and weights of a file. */
class StoredRouter extends Router {
  readonly #indices: Uint32Array<ArrayBuffer>;
  readonly #weights: Float32Array<ArrayBuffer>;

  constructor(
    options: { hiddenSize: number; numExperts: number; topK: number },
    indices: Int32Array,
    weights: Float32Array,
  ) {
    super(device, options);
    this.#indices = Uint32Array.from(indices);
    this.#weights = Float32Array.from(weights);
  }

  override route(x: F32): Routing<undefined> {
    const shape = [x.axis(0), this.topK];
    const probs = tensor(device, new Float32Array(x.axis(0) * this.numExperts), [x.axis(0), this.numExperts]);
    const weights = tensor(device, this.#weights, shape);
    return sparseRouting({ indices: tensor(device, this.#indices, shape), weights, probs, logits: probs });
  }
}

describe.skipIf(!hasShared)("attention of the first block equals the reference's", () => {
  test("JetMoE", async () => {
    const [H, E, topK, G, D] = [32, 6, 2, 3, 8];
    const { weights, io } = await open("jetmoe-base");
    using norm = new RmsNorm(device, H, 1e-6);
    const router = new TopKRouter(device, { hiddenSize: H, numExperts: E, topK, normalizeTopK: true });
    using layer = new MixtureOfAttentionHeads(device, {
      experts: new AttentionHeadExperts(device, { router, headsPerExpert: G, headDim: D, bias: true }),
      keyValue: new Linear(device, { inFeatures: H, outFeatures: 2 * G * D }),
    });
    await load(norm, weights, (name) => `model.layers.0.input_layernorm.${name}`);
    await load(layer, weights, (name) => `model.layers.0.self_attention.${name}`);
    const x = await values(io, "hidden.embed");
    const { y, logits } = scope(() => {
      const rotary = rotaryTables(device, { maxPositions: 14, dim: D });
      const out = layer.forward(norm.forward(tensor(device, x, [2, 14, H])), { rotary });
      return { y: out.y.read(), logits: out.routing.logits.read() };
    });
    expectClose("attn.0.out", await y, await values(io, "attn.0.out"), 1e-5);
    expectClose("router.0.attn.logits", await logits, await values(io, "router.0.attn.logits"), 1e-5);
  });

  test("ModuleFormer, with the routes of the file", async () => {
    const [H, E, topK, G, D] = [32, 6, 2, 2, 8];
    const { weights, io } = await open("moduleformer-base");
    using norm = new LayerNorm(device, H);
    const router = new StoredRouter(
      { hiddenSize: H, numExperts: E, topK },
      toInt32(await io.read("router.0.attn.topk_index")),
      await values(io, "router.0.attn.topk_weight"),
    );
    const projection = () => new Linear(device, { inFeatures: H, outFeatures: G * D, bias: true });
    using layer = new MixtureOfAttentionHeads(device, {
      experts: new AttentionHeadExperts(device, {
        router,
        headsPerExpert: G,
        headDim: D,
        names: { query: "experts.weight", output: "output_experts.weight" },
      }),
      keyValue: [projection(), projection()],
      attend: stickBreakingAttention,
      names: { experts: "q_proj" },
    });
    await load(norm, weights, (name) => `transformer.h.0.ln_1.${name}`);
    await load(layer, weights, (name) => `transformer.h.0.attn.${name}`);
    // The file's banks are [E, in, out].
    for (const bank of [layer.experts.query, layer.experts.output]) {
      const [, rows = 1, columns = 1] = bank.shape;
      const stored = await bank.read();
      const at = (i: number) => {
        const [e, row, column] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
        return stored[(e * columns + column) * rows + row] as number;
      };
      bank.write(stored.map((_, i) => at(i)));
    }
    const x = await values(io, "hidden.embed");
    const { y } = scope(() => ({ y: layer.forward(norm.forward(tensor(device, x, [2, 14, H]))).y.read() }));
    expectClose("attn.0.out", await y, await values(io, "attn.0.out"), 1e-5);
  });
});
