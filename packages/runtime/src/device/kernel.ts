import { ShaderError } from "./errors.ts";
import type { DeviceBuffer } from "./pool.ts";
import type { Defines } from "./preprocess.ts";

/** A .wgsl file by name. Kernels are compared by identity: define each once, at module level. */
export interface Kernel {
  readonly name: string;
  readonly code: string;
  readonly includes: Readonly<Record<string, string>>;
}

/**
 * Declares a kernel. The file declares its storage buffers in group 0, in binding order, and its sizes and scalars in
 * `struct Params { … }` (u32, i32, f32, vec4u), which the kernel reads as `params.name`: as immediates where the adapter has
 * them and they fit (64 bytes), else from a uniform buffer. Features are asked for with `#if SUBGROUPS`.
 */
export function defineKernel(name: string, code: string, includes: Readonly<Record<string, string>> = {}): Kernel {
  return { name, code, includes };
}

export type ParamValue = number | readonly number[];

/** One use of a kernel. */
export interface Dispatch {
  kernel: Kernel;
  defines?: Defines;
  bindings: readonly Binding[];
  params?: Readonly<Record<string, ParamValue>>;
  /** Workgroups in x, y, z. */
  grid: readonly [number, number?, number?];
  /** Useful floating-point operations and bytes that must be moved, for the profile. */
  flops?: number;
  bytes?: number;
  /** The part of `bytes` that is weights, of a bank of experts only those in use. */
  weightBytes?: number;
}

/** A range of a buffer as a kernel sees it. `offsetBytes` is a multiple of 256. */
export interface Binding {
  readonly buffer: DeviceBuffer;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Workgroups for `count` items of which each group handles `perGroup`, folded into two dimensions of at most 65,535. */
export function grid1d(count: number, perGroup: number): [number, number] {
  const groups = Math.max(1, Math.ceil(count / perGroup));
  const y = Math.ceil(groups / 65_535);
  return [Math.ceil(groups / y), y];
}

export interface ParamField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32" | "vec4u";
  readonly offset: number;
}

/** Most bytes of one kernel's parameters, and the step between them in a uniform buffer: an alignment that every adapter takes. */
export const MAX_PARAM_BYTES = 256;

/**
 * The layout of `struct Params` under WGSL's rules: scalars align to 4 bytes, vec4u to 16.
 * @throws {ShaderError} for a field of another type, or more than 256 bytes
 */
export function paramLayout(kernel: string, code: string): { fields: ParamField[]; sizeBytes: number } {
  const body = /struct Params\s*\{([^}]*)\}/.exec(code)?.[1] ?? "";
  const fields: ParamField[] = [];
  let offset = 0;
  let alignment = 4;
  for (const [, name = "", type = ""] of body.replace(/\/\/.*/g, "").matchAll(/(\w+)\s*:\s*([\w<>]+)/g)) {
    if (!isParamType(type)) throw new ShaderError(kernel, `Params.${name} is ${type}, expected u32, i32, f32 or vec4u`);
    const size = type === "vec4u" ? 16 : 4;
    alignment = Math.max(alignment, size);
    offset = Math.ceil(offset / size) * size;
    fields.push({ name, type, offset });
    offset += size;
  }
  const sizeBytes = Math.ceil(offset / alignment) * alignment;
  if (sizeBytes > MAX_PARAM_BYTES)
    throw new ShaderError(kernel, `Params has ${sizeBytes} bytes, at most ${MAX_PARAM_BYTES} are possible`);
  return { fields, sizeBytes };
}

function isParamType(type: string): type is ParamField["type"] {
  return ["u32", "i32", "f32", "vec4u"].includes(type);
}
