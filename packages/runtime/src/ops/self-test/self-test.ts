import type { Device } from "../../device/device.ts";
import { RandomKey } from "../../tensor/philox.ts";
import { scope } from "../../tensor/scope.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { Tape } from "../tape.ts";
import { DENSE_CASES } from "./dense-cases.ts";
import { ROUTING_CASES } from "./routing-cases.ts";
import { STATE_CASES } from "./state-cases.ts";

/** A kernel family on one small example. */
export interface SelfTestCase {
  readonly family: string;
  /** Of every value, relative to the largest expected magnitude (at least 1); 0 for whole numbers. */
  readonly tolerance: number;
  /** Shapes of inputs with uniform values in ±1. */
  readonly inputs: readonly Shape[];
  readonly run: (device: Device, ...inputs: Tensor<"f32">[]) => Tensor[];
  /** The same in float64. */
  readonly reference: (...inputs: Float64Array[]) => ArrayLike<number>[];
  /** Also compares the gradients of all inputs through the first result with central differences of the reference. */
  readonly differentiate?: boolean;
}

export interface SelfTestResult {
  readonly family: string;
  /** The largest, relative to the largest expected magnitude. */
  readonly error: number;
  readonly tolerance: number;
  readonly ok: boolean;
  /** With compilation. */
  readonly ms: number;
  /** Why the family did not run at all. */
  readonly problem?: string;
}

const CASES: readonly SelfTestCase[] = [...DENSE_CASES, ...ROUTING_CASES, ...STATE_CASES];

/**
 * Compares every kernel family with float64 on small examples, one after another.
 * @param onResult called after each
 */
export async function selfTest(
  device: Device,
  onResult: (result: SelfTestResult) => void = () => {},
): Promise<SelfTestResult[]> {
  const results: SelfTestResult[] = [];
  for (const each of CASES) {
    const result = await runCase(device, each);
    results.push(result);
    onResult(result);
  }
  return results;
}

export async function runCase(device: Device, testCase: SelfTestCase): Promise<SelfTestResult> {
  const { family, tolerance } = testCase;
  const start = performance.now();
  try {
    const error = await errorOf(device, testCase);
    return { family, error, tolerance, ok: error <= tolerance, ms: performance.now() - start };
  } catch (error) {
    const problem = (error as Error).message;
    return { family, error: Number.NaN, tolerance, ok: false, ms: performance.now() - start, problem };
  }
}

async function errorOf(device: Device, { inputs, run, reference, differentiate }: SelfTestCase): Promise<number> {
  const values = inputs.map((shape, k) => uniform(sizeOf(shape), k));
  const expected = reference(...values);
  const cotangent = uniform(expected[0]?.length ?? 0, 100);
  const reads = scope(() => {
    const tensors = values.map((data, k) => tensor(device, Float32Array.from(data), inputs[k]));
    if (!differentiate) return run(device, ...tensors).map((output) => output.read());
    const tape = new Tape(tensors);
    const outputs = tape.run(() => run(device, ...tensors));
    const [first] = outputs as [Tensor<"f32">];
    const gradients = tape.backward(first, tensor(device, Float32Array.from(cotangent), first.shape));
    const wanted = [...outputs, ...tensors.flatMap((input) => gradients.get(input) ?? [])];
    const found = wanted.map((output) => output.read());
    for (const gradient of gradients.values()) gradient.dispose();
    return found;
  });
  if (differentiate) expected.push(...slopes(values, cotangent, (...x) => reference(...x)[0] ?? []));
  const actual = await Promise.all(reads);
  if (actual.length !== expected.length) throw new Error(`${actual.length} results, expected ${expected.length}`);
  return Math.max(...actual.map((result, k) => largestError(result, expected[k] ?? [])));
}

function uniform(size: number, seed: number): Float64Array {
  return Float64Array.from(new RandomKey(seed).uniform(size), (u) => 2 * u - 1);
}

/** NaN where a result is NaN or of another length. */
function largestError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.NaN;
  let [error, scale] = [0, 1];
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs((actual[i] ?? 0) - (expected[i] ?? 0)));
    scale = Math.max(scale, Math.abs(expected[i] ?? 0));
  }
  return error / scale;
}

/** d ⟨cotangent, f⟩ / d each input, by central differences. */
function slopes(
  values: readonly Float64Array[],
  cotangent: Float64Array,
  f: (...inputs: Float64Array[]) => ArrayLike<number>,
): Float64Array[] {
  const step = 1e-4;
  const inner = (k: number, i: number, h: number) => {
    const moved = values.map((data, n) => (n === k ? data.with(i, (data[i] ?? 0) + h) : data));
    const out = f(...moved);
    return cotangent.reduce((sum, u, n) => sum + u * (out[n] ?? 0), 0);
  };
  return values.map((data, k) => data.map((_, i) => (inner(k, i, step) - inner(k, i, -step)) / (2 * step)));
}
