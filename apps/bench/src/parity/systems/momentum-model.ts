import { UserError } from "@moebius/cli";
import type { Device } from "@moebius/runtime/device";
import type { MomentumOptions, MomentumState, Routing } from "@moebius/runtime/moe";
import { Embedding, LayerNorm, Linear, Module, type Parameter } from "@moebius/runtime/nn";
import {
  add,
  concat,
  logSoftmax,
  matmul,
  permute,
  putAlong,
  relu,
  reshape,
  scale,
  slice,
  softmax,
  takeAlong,
  transpose,
} from "@moebius/runtime/ops";
import { type Tensor, tensor } from "@moebius/runtime/tensor";
import { MomentumBlock, type MomentumSizes } from "./momentum-layers.ts";

type F32 = Tensor<"f32">;

/** Whether a layer is sparse, and its residual: g plain, m momentum, a Adam; f: dense. */
export type LayerKind = "g" | "m" | "a" | "f";

/** @throws {UserError} for a string that is not pairs of s and one of g, m, a, f */
export function parseArchitecture(architecture: unknown): LayerKind[] {
  if (typeof architecture !== "string" || !/^(s[gmaf])+$/.test(architecture))
    throw new UserError(`"architecture" is ${JSON.stringify(architecture)}, expected pairs of s and g, m, a or f`);
  return [...architecture].filter((_, i) => i % 2 === 1) as LayerKind[];
}

/** Each token attends to the `span` steps before it, itself excluded; of the block's first tokens they lie in the cache. */
class SpanAttention extends Module {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly #numHeads: number;

  constructor(device: Device, hiddenSize: number, numHeads: number) {
    super(device);
    const project = () => new Linear(device, { inFeatures: hiddenSize, outFeatures: hiddenSize });
    this.query = this.child("proj_query", project());
    this.key = this.child("proj_key", project());
    this.value = this.child("proj_val", project());
    this.output = this.child("proj_out", project());
    this.#numHeads = numHeads;
  }

  /** @param x [B, M, H]; @param past [B, span, H]; @param keyPositions [1, dh, span], slot 0 the oldest */
  forward(x: F32, past: F32, keyPositions: F32): F32 {
    const [B, M, H] = [x.axis(0), x.axis(1), x.axis(2)];
    const [A, span] = [this.#numHeads, past.axis(1)];
    const all = concat([past, x], 1);
    const heads = (projected: F32) => permute(reshape(projected, [B, projected.axis(1), A, H / A]), [0, 2, 1, 3]);
    const q = heads(this.query.forward(x)); // [B, A, M, dh]
    const [k, v] = [heads(this.key.forward(all)), heads(this.value.forward(all))]; // [B, A, span + M, dh]
    // Slot j of token t is step t + j of the cache and block together.
    const steps = Uint32Array.from({ length: B * A * M * span }, (_, i) => (Math.floor(i / span) % M) + (i % span));
    const slots = tensor(x.device, steps, [B, A, M, span]);
    const contents = takeAlong(matmul(q, transpose(k)), slots);
    const positions = matmul(q, reshape(keyPositions, [H / A, span]));
    const shares = softmax(scale(add(contents, positions), 1 / Math.sqrt(H / A)));
    const mixed = matmul(putAlong(shares, slots, span + M), v);
    return this.output.forward(reshape(permute(mixed, [0, 2, 1, 3]), [B, M, H]));
  }
}

class DenseFeedForward extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor(device: Device, { hiddenSize, intermediateSize }: MomentumSizes) {
    super(device);
    this.fc1 = this.child(
      "fc1",
      new Linear(device, { inFeatures: hiddenSize, outFeatures: intermediateSize, bias: true }),
    );
    this.fc2 = this.child(
      "fc2",
      new Linear(device, { inFeatures: intermediateSize, outFeatures: hiddenSize, bias: true }),
    );
  }

  forward(x: F32): F32 {
    return this.fc2.forward(relu(this.fc1.forward(x)));
  }
}

class MomentumLayer extends Module {
  readonly attention: SpanAttention;
  readonly smoe: MomentumBlock | undefined;
  readonly dense: DenseFeedForward | undefined;
  /** After attention, after the MoE block, after the dense one; each layer stores all three. */
  readonly norms: readonly LayerNorm[];

  constructor(device: Device, kind: LayerKind, sizes: MomentumSizes, numHeads: number) {
    super(device);
    this.attention = this.child("attn", new SpanAttention(device, sizes.hiddenSize, numHeads));
    if (kind === "f") this.dense = this.child("ff", new DenseFeedForward(device, sizes));
    else this.smoe = this.child("smoe", new MomentumBlock(device, sizes));
    this.norms = [1, 2, 3].map((i) => this.child(`norm${i}`, new LayerNorm(device, sizes.hiddenSize)));
  }
}

/** What one layer made. */
export interface LayerTrace {
  attention: F32;
  block: F32 | undefined;
  state: MomentumState | undefined;
  routing: Routing | undefined;
  hidden: F32;
  /** [B, span, H] of the next block of tokens. */
  cache: F32;
}

export interface MomentumModelOptions extends MomentumSizes {
  vocabSize: number;
  numHeads: number;
  span: number;
  layers: readonly LayerKind[];
  /** Of each kind of layer; absent for the plain residual. */
  optionsOf: (kind: LayerKind) => MomentumOptions | undefined;
}

/** The reference's language model (Teo and Nguyen 2024, arXiv:2410.14574): post-norm layers, span attention with a cache. */
export class MomentumModel extends Module {
  readonly embedding: Embedding;
  readonly layers: MomentumLayer[];
  readonly output: Linear;
  readonly keyPositions: Parameter;
  readonly #options: MomentumModelOptions;

  constructor(device: Device, options: MomentumModelOptions) {
    super(device);
    const { vocabSize, hiddenSize, numHeads, span } = options;
    this.embedding = this.child("in_emb", new Embedding(device, { numEmbeddings: vocabSize, hiddenSize }));
    this.output = this.child(
      "out_emb",
      new Linear(device, { inFeatures: hiddenSize, outFeatures: vocabSize, bias: true }),
    );
    this.layers = this.children(
      "layers",
      options.layers.map((kind) => new MomentumLayer(device, kind, options, numHeads)),
    );
    this.keyPositions = this.parameter("key_pe", [1, hiddenSize / numHeads, span]);
    this.#options = options;
  }

  /** @param ids [B, M] u32; @param caches [B, span, H] a layer; zeros before the first block */
  forward(ids: Tensor<"u32">, caches: readonly F32[]): { embedded: F32; layers: LayerTrace[]; logProbs: F32 } {
    const { layers: kinds, optionsOf, span } = this.#options;
    const embedded = this.embedding.forward(ids);
    let hidden = embedded;
    let state: MomentumState | undefined;
    const traces = this.layers.map((layer, i): LayerTrace => {
      const [norm1, norm2, norm3] = layer.norms as [LayerNorm, LayerNorm, LayerNorm];
      const past = caches[i] as F32;
      const seen = concat([past, hidden], 1);
      const attention = layer.attention.forward(hidden, past, this.keyPositions);
      const middle = norm1.forward(add(hidden, attention));
      const step = layer.smoe?.forward(middle, false, optionsOf(kinds[i] as LayerKind), state);
      if (step) state = step.state;
      hidden = step
        ? norm2.forward(add(middle, step.y))
        : norm3.forward(add(middle, (layer.dense as DenseFeedForward).forward(middle)));
      const cache = slice(seen, 1, seen.axis(1) - span, span);
      return { attention, block: step?.y, state, routing: step?.routing, hidden, cache };
    });
    return { embedded, layers: traces, logProbs: logSoftmax(this.output.forward(hidden)) };
  }
}
