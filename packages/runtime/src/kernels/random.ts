import type { Device } from "../device/device.ts";
import { defineKernel, grid1d } from "../device/kernel.ts";
import { counterOf, RandomKey } from "../tensor/philox.ts";
import { expectShape, type Shape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { map } from "./map.ts";
import philox from "./philox.wgsl";
import code from "./random.wgsl";

type F32 = Tensor<"f32">;

const kernel = defineKernel("random", code, { philox });

/** A key on the host, or its two words [2] on the device, where a captured step reads them anew at each replay. */
export type AnyRandomKey = RandomKey | Tensor<"u32">;

const NOTHING = { threshold: 0, scale: 0, label: 0, domain: 0 };

function run<T extends Tensor>(
  mode: "UNIFORM" | "NORMAL" | "DROPOUT" | "DERIVE",
  out: T,
  key: AnyRandomKey,
  inputs: readonly F32[] = [],
  params: Partial<typeof NOTHING> = {},
): T {
  const onHost = key instanceof RandomKey;
  if (!onHost) expectShape("random", "a key on the device", key.shape, [2]);
  const [low, high] = onHost ? key.key : [0, 0];
  out.device.dispatch({
    kernel,
    defines: { [mode]: true, DEVICE_KEY: !onHost },
    bindings: [out, ...inputs, ...(onHost ? [] : [key])].map((tensor) => tensor.binding()),
    params: { ...NOTHING, ...params, size: out.size, key_low: low, key_high: high },
    grid: out.size === 0 ? [0] : grid1d(out.size, 256),
    bytes: 4 * out.size * (1 + inputs.length),
  });
  return out;
}

/** Uniform in [0, 1): the numbers of `RandomKey.uniform`. */
export function randomUniform(device: Device, key: AnyRandomKey, shape: Shape): F32 {
  return run("UNIFORM", empty(device, shape, "f32"), key);
}

/** Mean 0, variance 1: the numbers of `RandomKey.normal`, within 1e-5. */
export function randomNormal(device: Device, key: AnyRandomKey, shape: Shape): F32 {
  return run("NORMAL", empty(device, shape, "f32"), key);
}

/** The standard Gumbel distribution, −log(−log u): added to logits, the largest is a sample of their softmax. */
export function randomGumbel(device: Device, key: AnyRandomKey, shape: Shape): F32 {
  const uniform = randomUniform(device, key, shape);
  const gumbel = map("-log(-log(max(a, T(0x1p-25))))", [uniform]); // u is a multiple of 2^-24; never log 0
  uniform.dispose();
  return gumbel;
}

/** x / (1 − rate) or 0; the same key gives the same choice. */
export function dropElements(x: F32, rate: number, key: AnyRandomKey): F32 {
  return run("DROPOUT", empty(x.device, x.shape, "f32"), key, [x], {
    threshold: Math.round(rate * 2 ** 24),
    scale: 1 / (1 - rate),
  });
}

/** `RandomKey.split` (a name) or `fold` (a number) of a key on the device: [2]. */
export function deriveKey(key: Tensor<"u32">, use: string | number): Tensor<"u32"> {
  const [label, , , domain] = counterOf(use);
  return run("DERIVE", empty(key.device, [2], "u32"), key, [], { label, domain });
}
