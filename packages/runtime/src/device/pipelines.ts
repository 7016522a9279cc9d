import { ShaderError } from "./errors.ts";
import { type Kernel, type ParamField, paramLayout } from "./kernel.ts";
import { type Defines, preprocess } from "./preprocess.ts";

/** One specialisation of a kernel: compiled or on its way. */
export interface Pipeline {
  readonly kernel: string;
  /** Kernel and specialisation. */
  readonly label: string;
  readonly ready: Promise<void>;
  /** Set once `ready` has resolved. */
  compiled: GPUComputePipeline | undefined;
  readonly layout: GPUBindGroupLayout;
  /** Same text, same layout object: bind groups are shared by it. */
  readonly layoutKey: string;
  readonly fields: readonly ParamField[];
  readonly paramBytes: number;
  readonly paramsAreImmediate: boolean;
}

/** What a kernel may ask for with `#if`. */
export interface KernelFeatures {
  readonly subgroups: boolean;
  readonly f16: boolean;
  readonly immediates: boolean;
}

const MAX_IMMEDIATE_BYTES = 64;

/** Compiles kernels on demand, each specialisation once, all missing ones at the same time. */
export class PipelineCache {
  readonly #gpu: GPUDevice;
  readonly #features: KernelFeatures;
  readonly #pipelines = new Map<Kernel, Map<string, Pipeline>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly uniformLayout: GPUBindGroupLayout;
  compileMs = 0;
  count = 0;
  #compiling = 0;
  #compileStart = 0;

  constructor(gpu: GPUDevice, features: KernelFeatures) {
    this.#gpu = gpu;
    this.#features = features;
    this.uniformLayout = gpu.createBindGroupLayout({
      label: "params",
      entries: [
        { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } },
      ],
    });
  }

  /** Specialisations on their way. */
  get numCompiling(): number {
    return this.#compiling;
  }

  get(kernel: Kernel, defines: Defines | undefined): Pipeline {
    const key = defines ? Object.entries(defines).join() : "";
    const variants = this.#pipelines.get(kernel) ?? new Map<string, Pipeline>();
    const known = variants.get(key);
    if (known) return known;
    const pipeline = this.#build(kernel, defines ?? {});
    this.#pipelines.set(kernel, variants.set(key, pipeline));
    return pipeline;
  }

  #build(kernel: Kernel, defines: Defines): Pipeline {
    const { subgroups, f16, immediates } = this.#features;
    const chosen = Object.entries(defines).map(([define, value]) => `${define}=${value}`);
    const label = [kernel.name, ...chosen].join(" ");
    const body = preprocess(kernel.name, kernel.code, { SUBGROUPS: subgroups, ...defines }, kernel.includes);
    const { fields, sizeBytes } = paramLayout(kernel.name, body);
    const paramsAreImmediate = immediates && sizeBytes <= MAX_IMMEDIATE_BYTES;
    const code = [
      subgroups && /\bsubgroup\w+\(|subgroup_invocation_id|subgroup_size/.test(body) ? "enable subgroups;" : "",
      f16 && /\bf16\b/.test(body) ? "enable f16;" : "",
      sizeBytes > 0 && paramsAreImmediate ? "requires immediate_address_space;" : "",
      body,
      sizeBytes === 0
        ? ""
        : paramsAreImmediate
          ? "var<immediate> params: Params;"
          : "@group(1) @binding(0) var<uniform> params: Params;",
    ].join("\n");
    const { layout, layoutKey } = this.#layout(body);
    const pipeline: Pipeline = {
      kernel: kernel.name,
      label,
      ready: this.#compile(kernel, label, code, layout, sizeBytes, paramsAreImmediate).then((compiled) => {
        pipeline.compiled = compiled;
      }),
      compiled: undefined,
      layout,
      layoutKey,
      fields,
      paramBytes: sizeBytes,
      paramsAreImmediate,
    };
    pipeline.ready.catch(() => {}); // reported by the flush that needs it
    return pipeline;
  }

  #layout(code: string): { layout: GPUBindGroupLayout; layoutKey: string } {
    const types: ("storage" | "read-only-storage")[] = [];
    for (const [, binding = "0", access = ""] of code.matchAll(
      /@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*(read|read_write)>/g,
    ))
      types[Number(binding)] = access === "read" ? "read-only-storage" : "storage";
    const layoutKey = types.map((type) => (type === "storage" ? "w" : "r")).join("");
    let layout = this.#layouts.get(layoutKey);
    if (!layout) {
      layout = this.#gpu.createBindGroupLayout({
        label: layoutKey,
        entries: types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
      });
      this.#layouts.set(layoutKey, layout);
    }
    return { layout, layoutKey };
  }

  async #compile(
    kernel: Kernel,
    label: string,
    code: string,
    layout: GPUBindGroupLayout,
    paramBytes: number,
    immediate: boolean,
  ) {
    if (this.#compiling++ === 0) this.#compileStart = performance.now();
    this.count++;
    try {
      this.#gpu.pushErrorScope("validation");
      const module = this.#gpu.createShaderModule({ code, label });
      const scope = this.#gpu.popErrorScope();
      const { messages } = await module.getCompilationInfo();
      await scope;
      const error = messages.find((message) => message.type === "error");
      if (error) {
        const line = code.split("\n")[error.lineNum - 1]?.trim() ?? "";
        throw new ShaderError(kernel.name, `${error.message} in "${line.slice(0, 200)}" (${label})`, error.lineNum);
      }
      const usesUniform = paramBytes > 0 && !immediate;
      const pipelineLayout = this.#gpu.createPipelineLayout({
        label,
        bindGroupLayouts: usesUniform ? [layout, this.uniformLayout] : [layout],
        ...(immediate && paramBytes > 0 ? { immediateSize: paramBytes } : {}),
      });
      return await this.#gpu.createComputePipelineAsync({ label, layout: pipelineLayout, compute: { module } });
    } catch (error) {
      if (error instanceof ShaderError) throw error;
      throw new ShaderError(kernel.name, `${(error as Error).message} (${label})`);
    } finally {
      if (--this.#compiling === 0) this.compileMs += performance.now() - this.#compileStart;
    }
  }
}
