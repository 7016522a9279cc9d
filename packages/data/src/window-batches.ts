import { shuffledIndex } from "./permutation.ts";
import { slidingWindows } from "./windows.ts";

/** Windows of one step, ready to upload. */
export interface WindowBatch {
  /** [B · length] f32; 0 where there is no value. */
  readonly values: Float32Array;
  /** [B · length] f32; 1 where there is a value, 0 for missing values and the padding at the left of short series. */
  readonly mask: Float32Array;
  /** [B] u32: which series a window comes from. */
  readonly seriesIndex: Uint32Array;
  /** [B] i32: row of the window's first column; negative by the padding of a short series. */
  readonly start: Int32Array;
}

/** Where a loader stands; plain JSON. */
export interface WindowBatchesState {
  readonly seed: number;
  /** Windows an epoch has, to notice other data. */
  readonly windowCount: number;
  readonly epoch: number;
  /** Windows of the epoch that were given. */
  readonly position: number;
}

/** Options of `windowBatches`. */
export interface WindowBatchesOptions {
  /** [T] f64 each; NaN is missing. Scale them first: the windows are f32. */
  readonly series: readonly { readonly values: Float64Array }[];
  /** Values a window: context and horizon together. */
  readonly length: number;
  readonly batchSize: number;
  /** u32; the same seed gives the same batches. */
  readonly seed: number;
  /** Rows between windows; default 1. */
  readonly stride?: number;
}

/** Endless batches of windows, each epoch in its own order; batches are always full and may span two epochs. */
export class WindowBatches implements Iterable<WindowBatch> {
  readonly windowCount: number;
  private readonly options: WindowBatchesOptions;
  private readonly windows: ReturnType<typeof slidingWindows>;
  private epoch = 0;
  private position = 0;

  constructor(options: WindowBatchesOptions) {
    const { series, length, batchSize, stride = 1 } = options;
    if (!(Number.isInteger(length) && length > 0 && Number.isInteger(batchSize) && batchSize > 0))
      throw new RangeError(
        `windowBatches: need whole length and batchSize ≥ 1, got length=${length}, batchSize=${batchSize}`,
      );
    // A series shorter than a window is one window, padded at the left.
    const lengths = series.map(({ values }) => (values.length === 0 ? 0 : Math.max(values.length, length)));
    this.windows = slidingWindows(lengths, { context: length, horizon: 0, stride });
    this.windowCount = this.windows.count;
    if (this.windowCount === 0)
      throw new RangeError(`windowBatches: the ${series.length} series hold no value; give at least one`);
    this.options = options;
  }

  next(): WindowBatch {
    const { series, length, batchSize, seed } = this.options;
    const batch: WindowBatch = {
      values: new Float32Array(batchSize * length),
      mask: new Float32Array(batchSize * length),
      seriesIndex: new Uint32Array(batchSize),
      start: new Int32Array(batchSize),
    };
    for (let b = 0; b < batchSize; b++) {
      const window = this.windows.at(shuffledIndex(this.position, this.windowCount, seed, this.epoch));
      const { values } = series[window.series] as { values: Float64Array };
      const start = window.start - Math.max(0, length - values.length);
      batch.seriesIndex[b] = window.series;
      batch.start[b] = start;
      for (let t = Math.max(0, -start); t < length; t++) {
        const value = values[start + t] as number;
        if (Number.isNaN(value)) continue;
        batch.values[b * length + t] = value;
        batch.mask[b * length + t] = 1;
      }
      if (++this.position === this.windowCount) {
        this.position = 0;
        this.epoch++;
      }
    }
    return batch;
  }

  *[Symbol.iterator](): Generator<WindowBatch> {
    for (;;) yield this.next();
  }

  state(): WindowBatchesState {
    return { seed: this.options.seed, windowCount: this.windowCount, epoch: this.epoch, position: this.position };
  }

  /** Continues where `state` was taken. @throws {RangeError} when it comes from other data or another seed */
  restore(state: WindowBatchesState): void {
    if (state.seed !== this.options.seed || state.windowCount !== this.windowCount)
      throw new RangeError(
        `windowBatches: the saved state has seed=${state.seed} and ${state.windowCount} windows, this run seed=${this.options.seed} and ${this.windowCount}; resume with the same data, window length, stride and seed`,
      );
    this.epoch = state.epoch;
    this.position = state.position;
  }
}

/** Shuffled, resumable batches of windows over many series. @see WindowBatches */
export function windowBatches(options: WindowBatchesOptions): WindowBatches {
  return new WindowBatches(options);
}
