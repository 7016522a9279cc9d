import type { Device } from "../../device/device.ts";
import { ConfigError } from "../../device/errors.ts";
import type { Initializer } from "../../nn/initializers.ts";
import { Module } from "../../nn/module.ts";
import type { RandomKey } from "../../tensor/philox.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Routing } from "../routing.ts";

export interface RouterOptions {
  hiddenSize: number;
  numExperts: number;
  topK: number;
  /** Of the router's weights. Default: normal with deviation 0.02. */
  initializer?: Initializer;
}

export interface RouteContext {
  /** [N] f32, 0 = padding. */
  mask?: Tensor<"f32"> | undefined;
  /** [N] u32: the vocabulary's ids of the tokens, for routers that look experts up by them. */
  tokenIds?: Tensor<"u32"> | undefined;
  /** Whether noise, dropout and schedules of training apply. Default false. */
  training?: boolean | undefined;
  /** Randomness of this step: the same key gives the same routes. Routers that draw need it in training. */
  key?: RandomKey | undefined;
}

/** Chooses experts for tokens. A router of one's own is one class with a `route` method: see CONTRIBUTING.md. */
export abstract class Router<State = undefined> extends Module {
  readonly hiddenSize: number;
  readonly numExperts: number;
  readonly topK: number;
  protected readonly initializer: Initializer | undefined;

  /** @throws {ConfigError} unless 1 ≤ topK ≤ numExperts */
  constructor(device: Device, { hiddenSize, numExperts, topK, initializer }: RouterOptions) {
    super(device);
    if (!(topK >= 1 && topK <= numExperts))
      throw new ConfigError(`router: need 1 ≤ topK ≤ numExperts, got topK=${topK}, numExperts=${numExperts}`);
    this.hiddenSize = hiddenSize;
    this.numExperts = numExperts;
    this.topK = topK;
    this.initializer = initializer;
  }

  /** @param x [N, H]; @param state what the router of the layer before passed on */
  abstract route(x: Tensor<"f32">, state?: State, context?: RouteContext): Routing<State>;
}
