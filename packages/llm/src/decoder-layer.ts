import type { Device } from "@moebius/runtime/device";
import type { Routing } from "@moebius/runtime/moe";
import { type AttentionContext, Module, RmsNorm } from "@moebius/runtime/nn";
import { add } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";

type F32 = Tensor<"f32">;

/** What a layer's feed-forward block is told. */
export interface FeedForwardContext {
  /** What the router of the layer before passed on. */
  state?: unknown;
  /** [N] 0 = padding */
  mask?: F32 | undefined;
}

export interface FeedForwardOutput {
  y: F32;
  /** What the routed experts add to y, where a dense block stands beside them. */
  routed?: F32;
  /** Absent in dense blocks. */
  routing?: Routing;
}

/** A dense or a sparse block: [B, T, H] to [B, T, H]. */
export interface FeedForward extends Module {
  forward(x: F32, context?: FeedForwardContext): F32 | FeedForwardOutput;
}

export interface DecoderLayerOptions {
  hiddenSize: number;
  normEpsilon: number;
  attention: Module & { forward(x: F32, context: AttentionContext): F32 };
  feedForward: FeedForward;
  /** Under which the parts are registered. Default: input_layernorm, post_attention_layernorm, mlp */
  names?: { inputNorm?: string; postAttentionNorm?: string; feedForward?: string };
}

/** What a layer made: its parts before their residuals, and its output. */
export interface LayerTrace extends FeedForwardOutput {
  hidden: F32;
  attention: F32;
}

/** A pre-norm decoder layer: h += attention(norm(h)); h += feedForward(norm(h)). */
export class DecoderLayer extends Module {
  readonly inputNorm: RmsNorm;
  readonly attention: DecoderLayerOptions["attention"];
  readonly postAttentionNorm: RmsNorm;
  readonly feedForward: FeedForward;

  constructor(device: Device, { hiddenSize, normEpsilon, attention, feedForward, names = {} }: DecoderLayerOptions) {
    super(device);
    const norm = (name: string) => this.child(name, new RmsNorm(device, hiddenSize, normEpsilon));
    this.inputNorm = norm(names.inputNorm ?? "input_layernorm");
    this.attention = this.child("self_attn", attention);
    this.postAttentionNorm = norm(names.postAttentionNorm ?? "post_attention_layernorm");
    this.feedForward = this.child(names.feedForward ?? "mlp", feedForward);
  }

  /** @param x [B, T, H] */
  forward(x: F32, attentionContext: AttentionContext, context: FeedForwardContext): LayerTrace {
    const attention = this.attention.forward(this.inputNorm.forward(x), attentionContext);
    const middle = add(x, attention);
    const output = this.feedForward.forward(this.postAttentionNorm.forward(middle), context);
    const made = "y" in output ? output : { y: output };
    return { ...made, hidden: add(middle, made.y), attention };
  }
}
