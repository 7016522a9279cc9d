/**
 * The errors of the runtime. Each names the place, the value and the way out; programs read the fields, people the message.
 * `userFacing` marks a message that a command line prints without a stack trace.
 */
export class MoebiusError extends Error {
  readonly userFacing: boolean = true;
  override get name(): string {
    return this.constructor.name;
  }
}

/** No adapter could be used; `tried` says what was asked for and what came of it. */
export class NoAdapterError extends MoebiusError {
  readonly tried: readonly string[];
  constructor(message: string, tried: readonly string[]) {
    super(message);
    this.tried = tried;
  }
}

/** An allocation would pass the memory budget or the largest buffer. Thrown before anything is allocated. */
export class OutOfMemoryError extends MoebiusError {
  readonly requestedBytes: number;
  readonly usedBytes: number;
  readonly budgetBytes: number;
  constructor(message: string, sizes: { requestedBytes: number; usedBytes: number; budgetBytes: number }) {
    super(message);
    this.requestedBytes = sizes.requestedBytes;
    this.usedBytes = sizes.usedBytes;
    this.budgetBytes = sizes.budgetBytes;
  }
}

/** The device is gone (driver reset, machine asleep, or disposed by the program). */
export class DeviceLostError extends MoebiusError {}

/** A shader did not compile: `kernel` and `line` (of the preprocessed text; 0 where there is none) say where. A defect. */
export class ShaderError extends MoebiusError {
  override readonly userFacing = false;
  readonly kernel: string;
  readonly line: number;
  constructor(kernel: string, message: string, line = 0) {
    super(`kernel ${kernel}${line > 0 ? `, line ${line}` : ""}: ${message}`);
    this.kernel = kernel;
    this.line = line;
  }
}

/** WebGPU refused recorded work; its message names the kernel. A defect. */
export class DeviceValidationError extends MoebiusError {
  override readonly userFacing = false;
}

/** Shapes, ranks or dtypes that do not fit together. */
export class ShapeError extends MoebiusError {}

/** A tensor was used after it was disposed, or a saved one was changed before its gradient was computed. */
export class LifetimeError extends MoebiusError {}

/** A number that must not occur: NaN or infinity where finite values are required, an id out of range. */
export class ValueError extends MoebiusError {}

/** A checkpoint that is truncated, inconsistent or of another layout; `tensor` names the culprit where there is one. */
export class CheckpointError extends MoebiusError {
  readonly file: string;
  readonly tensor: string | undefined;
  constructor(file: string, message: string, tensor?: string) {
    super(`${file}: ${tensor === undefined ? "" : `tensor "${tensor}": `}${message}`);
    this.file = file;
    this.tensor = tensor;
  }
}

/** A model configuration (config.json) with a missing, unknown or impossible value; the message names the key. */
export class ConfigError extends MoebiusError {}
