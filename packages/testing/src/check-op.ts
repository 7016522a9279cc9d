import type { Device } from "@moebius/runtime/device";
import { Tape } from "@moebius/runtime/ops";
import { type Shape, scope, sizeOf, type Tensor, tensor } from "@moebius/runtime/tensor";
import { uniformArray } from "./random.ts";

export interface OpCase {
  /** The op under test. */
  op: (...inputs: Tensor<"f32">[]) => Tensor<"f32">;
  /** The same in float64 on plain arrays, forward only. */
  reference: (...inputs: Float64Array[]) => ArrayLike<number>;
  /** Shapes of the inputs with uniform values in [low, high) (default ±1), or given data. */
  inputs: readonly { shape: Shape; low?: number; high?: number; data?: ArrayLike<number> }[];
  /** Of the forward result, relative to the largest reference value (at least 1). Default 2e-6 … the kernel's own error. */
  tolerance?: number;
  /** Of the directional derivative, relative. Default 1e-4. */
  gradientTolerance?: number;
  /** Step of the central difference in float64. */
  step?: number;
  seed?: number;
}

/**
 * Checks an op: its values against the float64 reference, and for three random directions v of the inputs and cotangents u of
 * the output, Σ ∂⟨u, f⟩/∂x · v from the tape against (⟨u, f(x + hv)⟩ − ⟨u, f(x − hv)⟩) / 2h of the reference.
 * @throws {Error} naming what differs and by how much
 */
export async function checkOp(
  device: Device,
  { op, reference, inputs, tolerance = 2e-6, gradientTolerance = 1e-4, step = 1e-4, seed = 1 }: OpCase,
): Promise<void> {
  const values = inputs.map(({ shape, low, high, data }, k) =>
    data ? Float64Array.from(data, Math.fround) : uniformArray(sizeOf(shape), seed * 100 + k, low, high),
  );
  const expected = Float64Array.from(reference(...values));
  for (let round = 0; round < 3; round++) {
    const cotangent = uniformArray(expected.length, seed * 1000 + round);
    const { y, gradients } = scope(() => {
      const tensors = values.map((data, k) => tensor(device, Float32Array.from(data), inputs[k]?.shape));
      const tape = new Tape(tensors);
      const output = tape.run(() => op(...tensors));
      const y = output.read();
      const found = tape.backward(output, tensor(device, Float32Array.from(cotangent), output.shape));
      const gradients = tensors.map((input) => found.get(input)?.read());
      for (const gradient of found.values()) gradient.dispose();
      return { y, gradients };
    });
    const [value, ...read] = await Promise.all([y, ...gradients]);
    if (round === 0) expectClose("value", value ?? [], expected, tolerance);
    let derivative = 0;
    let magnitude = 0;
    const directions = values.map((data, k) => uniformArray(data.length, seed * 10_000 + round * 10 + k));
    for (const [k, gradient] of read.entries()) {
      for (const [i, v] of (directions[k] ?? []).entries()) {
        const term = (gradient?.[i] ?? 0) * v;
        derivative += term;
        magnitude += term * term;
      }
    }
    const at = (h: number) => {
      const out = reference(...values.map((data, k) => data.map((x, i) => x + h * (directions[k]?.[i] ?? 0))));
      return cotangent.reduce((sum, u, i) => sum + u * (out[i] ?? 0), 0);
    };
    const difference = (at(step) - at(-step)) / (2 * step);
    const scale = Math.max(Math.sqrt(magnitude), Math.abs(difference), 1e-3);
    if (!(Math.abs(derivative - difference) <= gradientTolerance * scale))
      throw new Error(
        `gradient, direction ${round}: tape ${derivative}, finite differences ${difference} (relative ${Math.abs(derivative - difference) / scale})`,
      );
  }
}

/** Throws when a value differs from what is expected by more than `tolerance` times the largest expected magnitude (at least 1). */
export function expectClose(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  if (actual.length !== expected.length)
    throw new Error(`${what}: ${actual.length} values, expected ${expected.length}`);
  let scale = 1;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i] ?? 0));
  for (let i = 0; i < expected.length; i++) {
    const [a = Number.NaN, b = 0] = [actual[i], expected[i]];
    if (!(Math.abs(a - b) <= tolerance * scale))
      throw new Error(`${what}[${i}] is ${a}, expected ${b} (tolerance ${tolerance * scale})`);
  }
}
