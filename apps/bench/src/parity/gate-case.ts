import { UserError } from "@moebius/cli";
import type { Device } from "@moebius/runtime/device";
import type { Router, Routing } from "@moebius/runtime/moe";
import {
  add,
  combineLinear,
  concat,
  expandLinear,
  multiply,
  ones,
  relu,
  reshape,
  sum,
  Tape,
  transpose,
} from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import type { Tolerance } from "./compare.ts";
import type { Golden } from "./golden.ts";

type F32 = Tensor<"f32">;

// As the READMEs of the gates-* goldens state them.
export const OUTPUT = { absolute: 2e-5 };
export const GRADIENT = { ofLargest: 5e-4 };
export const EXACT = { absolute: 0 };

const EXPERT_NAMES = ["w1", "b1", "w2", "b2"] as const;

/** One of the cases that a gates-* golden holds: tensors `<case>/<name>`, options in config.json's `cases`. */
export class GateCase {
  readonly golden: Golden;
  readonly name: string;
  readonly options: Record<string, unknown>;

  constructor(golden: Golden, options: Record<string, unknown>) {
    this.golden = golden;
    this.name = String(options.name);
    this.options = options;
  }

  /** @throws {UserError} naming the key that is missing or no number */
  number(key: string): number {
    const value = this.options[key];
    if (typeof value !== "number") throw this.#error(key, "a number");
    return value;
  }

  /** @throws {UserError} naming the key that is missing or no list of numbers */
  numbers(key: string): number[] {
    const value = this.options[key];
    if (!Array.isArray(value) || !value.every((one) => typeof one === "number"))
      throw this.#error(key, "a list of numbers");
    return value;
  }

  /** A number, or undefined where the key is null or missing. */
  optionalNumber(key: string): number | undefined {
    return (this.options[key] ?? undefined) === undefined ? undefined : this.number(key);
  }

  /** @throws {UserError} naming the key that is missing or neither true nor false */
  flag(key: string): boolean {
    return this.oneOf(key, [true, false]);
  }

  /** @throws {UserError} naming the key and what it may be */
  oneOf<T extends string | boolean>(key: string, known: readonly T[]): T {
    const value = known.find((one) => one === this.options[key]);
    if (value === undefined) throw this.#error(key, `one of ${known.join(", ")}`);
    return value;
  }

  #error(key: string, expected: string): UserError {
    return new UserError(
      `${this.golden.folder}/config.json: case ${this.name}: "${key}" must be ${expected}, got ${this.options[key]}`,
    );
  }

  has(name: string): boolean {
    return this.golden.has(`${this.name}/${name}`);
  }

  shape(name: string): readonly number[] {
    return this.golden.shape(`${this.name}/${name}`);
  }

  values(name: string): Float32Array<ArrayBuffer> {
    return this.golden.values(`${this.name}/${name}`);
  }

  /** A stored tensor on the device. @param shape Default: the stored one */
  tensor(device: Device, name: string, shape: readonly number[] = this.shape(name)): F32 {
    return tensor(device, this.values(name), shape);
  }

  compare(name: string, actual: ArrayLike<number>, tolerance: Tolerance): void {
    this.golden.compare(`${this.name}/${name}`, actual, tolerance);
  }
}

/** @throws {UserError} when config.json lists no cases */
export function gateCases(golden: Golden): GateCase[] {
  const { cases } = golden.config;
  if (!Array.isArray(cases)) throw new UserError(`${golden.folder}/config.json: "cases" must be a list of gate cases`);
  return cases.map((options) => new GateCase(golden, options));
}

/** [rows, columns] to [columns, rows]: the goldens store router matrices input-major. */
export function transposed(values: Float32Array<ArrayBuffer>, rows: number): Float32Array<ArrayBuffer> {
  const columns = values.length / rows;
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
}

/** How many assignments want each expert. */
export function countsOf(experts: ArrayLike<number>, numExperts: number): number[] {
  const counts = new Array<number>(numExperts).fill(0);
  for (const expert of Array.from(experts)) if (expert >= 0) counts[expert] = (counts[expert] ?? 0) + 1;
  return counts;
}

/** The place of each assignment in its expert's queue; −1 for expert −1 and who does not queue. @param queue as they line up */
export function queuePlaces(experts: Int32Array, queue: readonly number[]): Int32Array {
  const lengths = new Map<number, number>();
  const places = new Int32Array(experts.length).fill(-1);
  for (const a of queue) {
    const expert = experts[a] as number;
    if (expert < 0) continue;
    places[a] = lengths.get(expert) ?? 0;
    lengths.set(expert, (places[a] as number) + 1);
  }
  return places;
}

export interface GateRun {
  /** Its `weight` [E, H] stands for `param.router` [H, E]. */
  router: Router<never> | Router;
  /** Routes x [N, H] with the case's noise. `outputs` are compared by name, `reads` come back. */
  route(x: F32): { routing: Routing; auxLoss?: F32; outputs?: Record<string, F32>; reads?: Record<string, Tensor> };
  /** What the names of y, loss and the gradients begin with. Default: nothing */
  prefix?: string;
}

/** What became of each choice, on the host. */
export interface GateOutcome {
  /** [A] expert of each assignment; −1: none */
  experts: Int32Array;
  /** [A] its row among the grouped rows; −1: dropped or none */
  slots: Int32Array;
  /** [A] */
  weights: Float32Array;
  /** [N + 1] */
  tokenOffsets: Uint32Array;
  /** What the run asked to read. */
  reads: Record<string, ArrayLike<number>>;
}

/**
 * Runs the MoE layer around a gate and compares y, the loss Σ y · upstream + auxLoss, the gradients that are stored and the given
 * outputs. A token's experts are y_e = relu(x W1 + b1) W2 + b2.
 */
export async function compareGate(
  c: GateCase,
  device: Device,
  { router, route, prefix = "" }: GateRun,
): Promise<GateOutcome> {
  const weight = router.parameters().get("weight") as F32;
  const hidden = c.shape("x").at(-1) as number;
  const { stored, gradients, wanted } = scope(() => {
    const x = c.tensor(device, "x", [c.values("x").length / hidden, hidden]);
    const bank = EXPERT_NAMES.map((name) => c.tensor(device, `param.experts.${name}`));
    const tape = new Tape([x, weight, ...bank]);
    const { y, loss, routing, outputs, reads } = tape.run(() => {
      const { routing, auxLoss, outputs = {}, reads = {} } = route(x);
      const y = reluExperts(x, routing, bank);
      const mainLoss = sum(multiply(y, c.tensor(device, "upstream", y.shape)));
      return { y, loss: auxLoss ? add(mainLoss, reshape(auxLoss, [])) : mainLoss, routing, outputs, reads };
    });
    const found = tape.backward(loss);
    const { plan, weights } = routing;
    const { assignmentExpert: experts, assignmentSlot: slots, tokenOffsets } = plan;
    return {
      stored: readAll({ [`${prefix}y`]: y, [`${prefix}loss`]: loss, ...outputs }),
      gradients: [x, weight, ...bank].map((input) => found.get(input)?.read()),
      wanted: readAll({ experts, slots, weights, tokenOffsets, ...reads }),
    };
  });
  for (const [name, values] of Object.entries(await stored)) c.compare(name, values, OUTPUT);
  const names = ["x", "param.router", ...EXPERT_NAMES.map((name) => `param.experts.${name}`)];
  for (const [i, gradient] of gradients.entries()) {
    const values = await gradient;
    if (!values) continue;
    const isRouter = names[i] === "param.router";
    c.compare(`${prefix}grad.${names[i]}`, isRouter ? transposed(values, weight.shape[0] as number) : values, GRADIENT);
  }
  const { experts, slots, weights, tokenOffsets, ...reads } = await wanted;
  return {
    experts: Int32Array.from(experts as Uint32Array),
    slots: Int32Array.from(slots as Uint32Array),
    weights: weights as Float32Array,
    tokenOffsets: tokenOffsets as Uint32Array,
    reads,
  };
}

async function readAll(tensors: Record<string, Tensor>): Promise<Record<string, ArrayLike<number>>> {
  const reads = Object.entries(tensors).map(([name, tensor]) => [name, tensor.read()] as const);
  return Object.fromEntries(await Promise.all(reads.map(async ([name, values]) => [name, await values] as const)));
}

/** The experts of all gates-* goldens; a bias is the weight of an input that is always 1. */
function reluExperts(x: F32, { plan, weights }: Routing, [w1, b1, w2, b2]: F32[]): F32 {
  const withOne = (rows: F32) => concat([rows, ones(rows.device, [rows.axis(0), 1], "f32")], 1);
  const withBias = (w: F32, b: F32) => transpose(concat([w, reshape(b, [b.axis(0), 1, b.axis(1)])], 1), 1, 2);
  const h = relu(expandLinear(withOne(x), withBias(w1 as F32, b1 as F32), plan));
  return combineLinear(withOne(h), withBias(w2 as F32, b2 as F32), weights, plan);
}
