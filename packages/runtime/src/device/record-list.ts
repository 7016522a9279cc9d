import { ShaderError } from "./errors.ts";
import { MAX_PARAM_BYTES, type ParamField, type ParamValue } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";

/** A dispatch whose shapes were checked and whose output was allocated: all that is left is to encode it. */
export interface DispatchRecord {
  readonly kind: "dispatch";
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly params: ArrayBuffer | undefined;
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly flops: number;
  readonly bytes: number;
  readonly weightBytes: number;
}

export interface CopyRecord {
  readonly kind: "copy";
  readonly source: GPUBuffer;
  readonly sourceOffset: number;
  readonly target: GPUBuffer;
  readonly targetOffset: number;
  readonly sizeBytes: number;
}

export type DeviceRecord = DispatchRecord | CopyRecord;

export function encodeParams(
  kernel: string,
  fields: readonly ParamField[],
  sizeBytes: number,
  values: Readonly<Record<string, ParamValue>>,
): ArrayBuffer {
  const bytes = new ArrayBuffer(sizeBytes);
  const view = new DataView(bytes);
  for (const { name, type, offset } of fields) {
    const value = values[name];
    if (value === undefined) throw new ShaderError(kernel, `its parameter ${name} was given no value`);
    if (type === "vec4u")
      for (let i = 0; i < 4; i++) view.setUint32(offset + 4 * i, (value as readonly number[])[i] ?? 0, true);
    else if (type === "f32") view.setFloat32(offset, value as number, true);
    else view.setUint32(offset, value as number, true);
  }
  return bytes;
}

/** Gathers the parameters of records that take them from a uniform buffer; the buffer lives for one submission. */
class UniformArena {
  readonly buffer: GPUBuffer | undefined;
  readonly group: GPUBindGroup | undefined;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #used = 0;

  constructor(gpu: GPUDevice, layout: GPUBindGroupLayout, records: readonly DeviceRecord[]) {
    const size = MAX_PARAM_BYTES * records.filter(needsUniform).length;
    this.#bytes = new Uint8Array(size);
    if (size === 0) return;
    this.buffer = gpu.createBuffer({ label: "params", size, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    const resource = { buffer: this.buffer, size: MAX_PARAM_BYTES };
    this.group = gpu.createBindGroup({ label: "params", layout, entries: [{ binding: 0, resource }] });
  }

  /** @returns the offset of these parameters */
  add(params: ArrayBuffer): number {
    const offset = this.#used;
    this.#bytes.set(new Uint8Array(params), offset);
    this.#used += MAX_PARAM_BYTES;
    return offset;
  }

  write(gpu: GPUDevice): void {
    if (this.buffer) gpu.queue.writeBuffer(this.buffer, 0, this.#bytes);
  }
}

function needsUniform(record: DeviceRecord): record is DispatchRecord {
  return record.kind === "dispatch" && record.params !== undefined && !record.pipeline.paramsAreImmediate;
}

/**
 * Encodes records in order into one command buffer and submits it. With `timestamps`, each dispatch gets a pass of its own that
 * writes its begin and end into that query set, at twice its index among the dispatches.
 * @returns the number of dispatches
 */
export function submit(
  gpu: GPUDevice,
  uniformLayout: GPUBindGroupLayout,
  records: readonly DeviceRecord[],
  timestamps?: GPUQuerySet,
): number {
  const arena = new UniformArena(gpu, uniformLayout, records);
  const encoder = gpu.createCommandEncoder();
  let pass: GPUComputePassEncoder | undefined;
  let current: Pipeline | undefined;
  let dispatches = 0;
  for (const record of records) {
    if (record.kind === "copy") {
      pass?.end();
      pass = current = undefined;
      encoder.copyBufferToBuffer(
        record.source,
        record.sourceOffset,
        record.target,
        record.targetOffset,
        record.sizeBytes,
      );
      continue;
    }
    const at = 2 * dispatches++;
    if (timestamps) {
      pass?.end();
      current = undefined;
      pass = encoder.beginComputePass({
        timestampWrites: { querySet: timestamps, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
      });
    }
    pass ??= encoder.beginComputePass();
    const { pipeline, params } = record;
    if (pipeline !== current) {
      // `ready` was awaited before encoding.
      pass.setPipeline(pipeline.compiled as GPUComputePipeline);
      current = pipeline;
    }
    pass.setBindGroup(0, record.group);
    if (params && pipeline.paramsAreImmediate) pass.setImmediates(0, params);
    else if (params) pass.setBindGroup(1, arena.group as GPUBindGroup, [arena.add(params)]);
    pass.dispatchWorkgroups(record.x, record.y, record.z);
  }
  pass?.end();
  arena.write(gpu);
  gpu.queue.submit([encoder.finish()]);
  arena.buffer?.destroy(); // after the submission: Dawn keeps it until the work is done
  return dispatches;
}
