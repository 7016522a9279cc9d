import { ShapeError } from "./errors.ts";
import type { Binding } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";

/** Bind groups kept for reuse; a training step needs a few hundred. */
const MAX_BIND_GROUPS = 16_384;

/** Bind groups by layout, buffers and ranges: a steady step makes no new ones. */
export class BindGroups {
  readonly #gpu: GPUDevice;
  readonly #groups = new Map<string, GPUBindGroup>();

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** @throws {ShapeError} when an operand has more bytes than the adapter binds at once */
  get({ layout, layoutKey }: Pipeline, bindings: readonly Binding[], kernel: string): GPUBindGroup {
    let key = layoutKey;
    for (const { buffer, offsetBytes, sizeBytes } of bindings) key += `|${buffer.id},${offsetBytes},${sizeBytes}`;
    let group = this.#groups.get(key);
    if (group) return group;
    const limit = this.#gpu.limits.maxStorageBufferBindingSize;
    for (const [i, { sizeBytes }] of bindings.entries())
      if (sizeBytes > limit)
        throw new ShapeError(
          `kernel ${kernel}: operand ${i} has ${sizeBytes} bytes, more than the ${limit} that this adapter binds at once`,
        );
    if (this.#groups.size >= MAX_BIND_GROUPS) this.#groups.clear();
    group = this.#gpu.createBindGroup({
      label: kernel,
      layout,
      entries: bindings.map(({ buffer, offsetBytes, sizeBytes }, binding) => ({
        binding,
        resource: { buffer: buffer.gpu, offset: offsetBytes, size: Math.max(16, Math.ceil(sizeBytes / 16) * 16) },
      })),
    });
    this.#groups.set(key, group);
    return group;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** Lets go of all groups: they keep buffers that were destroyed. Records hold on to their own. */
  clear(): void {
    this.#groups.clear();
  }
}
