import type { Device } from "@moebius/runtime/device";
import {
  type MomentumOptions,
  type MomentumState,
  momentumStep,
  type ProductRouting,
  type RouteContext,
  type Routing,
} from "@moebius/runtime/moe";
import { type AttentionContext, Module, RmsNorm } from "@moebius/runtime/nn";
import { add } from "@moebius/runtime/ops";
import type { Tensor } from "@moebius/runtime/tensor";

type F32 = Tensor<"f32">;

/** What a layer's feed-forward block is told. */
export interface FeedForwardContext extends RouteContext {
  /** What the router of the layer before passed on. */
  state?: unknown;
}

export interface FeedForwardOutput {
  y: F32;
  /** What the routed experts add to y, where a dense block stands beside them. */
  routed?: F32;
  /** Absent in dense blocks. */
  routing?: Routing;
  /** Of blocks whose experts are products of keys. */
  product?: ProductRouting;
  /** For the next layer. Default: that of `routing` */
  state?: unknown;
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
  /** How a sparse block's output joins the hidden state. Default: it is added. */
  momentum?: MomentumOptions | undefined;
  /** Under which the parts are registered. Default: input_layernorm, post_attention_layernorm, mlp */
  names?: { inputNorm?: string; postAttentionNorm?: string; feedForward?: string };
}

/** What a layer made: its parts before their residuals, and its output. */
export interface LayerTrace extends FeedForwardOutput {
  hidden: F32;
  attention: F32;
  /** For the next layer with momentum. */
  momentum?: MomentumState | undefined;
}

/** A pre-norm decoder layer: h += attention(norm(h)); h += feedForward(norm(h)). */
export class DecoderLayer extends Module {
  readonly inputNorm: RmsNorm;
  readonly attention: DecoderLayerOptions["attention"];
  readonly postAttentionNorm: RmsNorm;
  readonly feedForward: FeedForward;
  readonly momentum: MomentumOptions | undefined;

  constructor(device: Device, options: DecoderLayerOptions) {
    super(device);
    const { hiddenSize, normEpsilon, attention, feedForward, momentum, names = {} } = options;
    this.momentum = momentum;
    const norm = (name: string) => this.child(name, new RmsNorm(device, hiddenSize, normEpsilon));
    this.inputNorm = norm(names.inputNorm ?? "input_layernorm");
    this.attention = this.child("self_attn", attention);
    this.postAttentionNorm = norm(names.postAttentionNorm ?? "post_attention_layernorm");
    this.feedForward = this.child(names.feedForward ?? "mlp", feedForward);
  }

  /** @param x [B, T, H]; @param momentum what the layer before passed on */
  forward(
    x: F32,
    attentionContext: AttentionContext,
    context: FeedForwardContext,
    momentum?: MomentumState,
  ): LayerTrace {
    const attention = this.attention.forward(this.inputNorm.forward(x), attentionContext);
    const middle = add(x, attention);
    const outputs: FeedForwardOutput[] = [];
    const block = (input: F32): F32 => {
      const output = this.feedForward.forward(this.postAttentionNorm.forward(input), context);
      const made = "y" in output ? output : { y: output };
      outputs.push(made);
      return made.y;
    };
    const step = this.momentum
      ? momentumStep(middle, block, this.momentum, momentum)
      : { y: add(middle, block(middle)), state: momentum }; // others pass it on
    const made = outputs[0] as FeedForwardOutput;
    return { ...made, hidden: step.y, attention, momentum: step.state };
  }
}
