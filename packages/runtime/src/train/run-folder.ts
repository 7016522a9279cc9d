import { makeFolder, pathKind, readText, removePath, writeAtomically } from "#host";
import { CheckpointError } from "../device/errors.ts";
import {
  fileSource,
  openSafetensors,
  replaceFolder,
  toFloat32,
  type WritableTensor,
  writeSafetensors,
} from "../io/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a run needs to go on as if it had never stopped. */
export interface RunState {
  /** Steps done. */
  step: number;
  /** Of the whole run as it was planned, which schedules depend on. */
  totalSteps: number;
  seed: number;
  /** The loader's own state. */
  data: unknown;
}

/** Named groups of tensors, each a file of a checkpoint: the model's, the optimizer's. */
export type TensorGroups = Readonly<Record<string, ReadonlyMap<string, Tensor<"f32">>>>;

const encode = (value: unknown) => [new TextEncoder().encode(`${JSON.stringify(value)}\n`)];

/**
 * The folder of a training run: `metrics.jsonl`, and `checkpoints/step-000100/` with a file a tensor group and `state.json`. A
 * checkpoint counts once `latest.json` names it, which happens after all of it is on the disk.
 */
export class RunFolder {
  readonly #folder: string;
  readonly #kept: number;

  /** @param kept how many checkpoints stay */
  constructor(folder: string, kept: number) {
    this.#folder = folder;
    this.#kept = kept;
  }

  /** @throws {CheckpointError} when the folder holds another run that is not to be resumed */
  async open(resume: boolean): Promise<void> {
    await makeFolder(`${this.#folder}/checkpoints`);
    if (!resume && (await this.#names()).length > 0)
      throw new CheckpointError(
        this.#folder,
        "holds checkpoints of an earlier run; resume it, or choose another folder",
      );
  }

  async save(groups: TensorGroups, state: RunState): Promise<void> {
    const name = `step-${String(state.step).padStart(6, "0")}`;
    await replaceFolder(this.#path(name), async (incoming) => {
      for (const [group, tensors] of Object.entries(groups))
        await writeSafetensors(`${incoming}/${group}.safetensors`, writable(tensors));
      await writeAtomically(`${incoming}/state.json`, encode(state));
    });
    const names = [...(await this.#names()).filter((other) => other !== name), name];
    await writeAtomically(`${this.#folder}/latest.json`, encode({ checkpoints: names.slice(-this.#kept) }));
    for (const old of names.slice(0, -this.#kept)) await removePath(this.#path(old));
  }

  /** Fills the tensors with the last checkpoint's. @returns its state, or undefined when there is none */
  async restore(groups: TensorGroups): Promise<RunState | undefined> {
    const name = (await this.#names()).at(-1);
    if (name === undefined) return undefined;
    for (const [group, tensors] of Object.entries(groups))
      await load(`${this.#path(name)}/${group}.safetensors`, tensors);
    return JSON.parse(await readText(`${this.#path(name)}/state.json`)) as RunState;
  }

  /** Lines of metrics.jsonl that belong to steps below `step`: what a resumed run keeps. */
  async keepMetrics(step: number): Promise<void> {
    const file = `${this.#folder}/metrics.jsonl`;
    const lines = (await pathKind(file)) === "file" ? (await readText(file)).split("\n") : [];
    const kept = lines.filter((line) => stepOf(line) < step);
    await writeAtomically(file, [new TextEncoder().encode(kept.map((line) => `${line}\n`).join(""))]);
  }

  get metricsFile(): string {
    return `${this.#folder}/metrics.jsonl`;
  }

  #path(name: string): string {
    return `${this.#folder}/checkpoints/${name}`;
  }

  async #names(): Promise<string[]> {
    const file = `${this.#folder}/latest.json`;
    if ((await pathKind(file)) !== "file") return [];
    return (JSON.parse(await readText(file)) as { checkpoints: string[] }).checkpoints;
  }
}

/** Of a line that was cut off by a crash: past every step. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step: number }).step;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function writable(tensors: ReadonlyMap<string, Tensor<"f32">>): WritableTensor[] {
  return [...tensors].map(([name, tensor]) => ({ name, dtype: "F32", shape: tensor.shape, data: () => tensor.read() }));
}

async function load(file: string, tensors: ReadonlyMap<string, Tensor<"f32">>): Promise<void> {
  const stored = await openSafetensors(await fileSource(file));
  try {
    const values = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, tensor] of tensors) {
      const found = stored.tensors.has(name) ? toFloat32(await stored.read(name)) : undefined;
      if (found?.length !== tensor.size)
        throw new CheckpointError(
          file,
          `has ${found?.length ?? "no"} values, this run needs ${tensor.size}; resume with the same model and optimizer`,
          name,
        );
      values.set(name, found);
    }
    for (const [name, tensor] of tensors) tensor.write(values.get(name) as Float32Array<ArrayBuffer>);
  } finally {
    await stored.close();
  }
}
