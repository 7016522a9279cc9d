import { ConfigError } from "@moebius/runtime/device";
import type { RandomKey } from "@moebius/runtime/tensor";
import { normalisationOf } from "./normalise.ts";
import { syntheticSeries } from "./synthetic.ts";

/** Where training windows come from: given series, or freshly drawn synthetic ones. */
export interface WindowSource {
  /** Values in order; NaN is missing and not trained on; a series of fewer than two points is left out. Absent: synthetic series. */
  series?: readonly ArrayLike<number>[];
  /**
   * Mixes: a window is the sum of one to three, each on its own scale, with random weights, upside down half of the time. It keeps a
   * small set from being learned by heart (TSMixup; Ansari et al. 2024, arXiv:2403.07815, algorithm 1). Default false.
   */
  mixed?: boolean;
  /**
   * Whose units the error counts in. window (default): each window's own, so that all windows weigh alike, as when a model must serve
   * any series. series: the series', as benchmarks score; a calm window weighs less, and a mixture stays on the scale of its parts.
   */
  errorUnits?: "window" | "series";
  /** Share of the windows, relative to the other sources. */
  weight: number;
}

export interface TrainingBatch {
  batchSize: number;
  /** S */
  context: number;
  /** [B · S] the context, normalised by its own mean and standard deviation. */
  values: Float32Array<ArrayBuffer>;
  /** [B · (S + H − 1)] the values after each position, on the same scale. */
  labels: Float32Array<ArrayBuffer>;
  /** As labels: the weight of each error, 0 where there is no value. */
  lossMask: Float32Array<ArrayBuffer>;
  /** [B · S] 1 where the next value is known, 0 elsewhere. */
  tokenMask: Float32Array<ArrayBuffer>;
}

export interface TrainingWindowsOptions {
  sources: readonly WindowSource[];
  /** Windows a batch (B), of the longest context; batches of shorter ones hold more, so that the points are as many. */
  batchSize: number;
  /** Points the model reads (S); of several, each batch draws one. */
  context: number | readonly number[];
  /** The longest head (H): so many points after the context are labels. */
  horizon: number;
  key: RandomKey;
}

interface PreparedSource {
  weight: number;
  mixed: boolean;
  errorUnits: "window" | "series";
  series: readonly ArrayLike<number>[] | undefined;
  /** Windows up to and with each series. */
  ends: number[];
}

/** Labels further than this from 0 would let a few windows (a jump after a flat context) rule the gradient. */
const LARGEST_LABEL = 10;

/** Windows in a mixture, at most. */
const LARGEST_MIXTURE = 3;

/**
 * Endless training windows. A window is drawn by its number alone, so that a run resumes by remembering one number. Each window is
 * normalised by its context, as a forecast is; a series shorter than a window is followed by masked positions.
 */
export class TrainingWindows {
  readonly #options: TrainingWindowsOptions;
  readonly #sources: PreparedSource[];
  readonly #contexts: readonly number[];
  #position = 0;

  /** @throws {ConfigError} when there is no source, or one has no series or no weight */
  constructor(options: TrainingWindowsOptions) {
    this.#options = options;
    this.#contexts = [options.context].flat();
    if (options.sources.length === 0) throw new ConfigError("training windows: there is no source to draw from");
    this.#sources = options.sources.map(({ series: all, weight, mixed = false, errorUnits = "window" }, index) => {
      const series = all?.filter((values) => values.length > 1);
      if (!(weight > 0 && Number.isFinite(weight)) || series?.length === 0)
        throw new ConfigError(
          `training windows: source ${index} needs a weight above 0 and a series of at least two points; it has weight ${weight} and ${all ? `${all.length} series` : "synthetic series"}`,
        );
      // Series are drawn in proportion to the windows they have.
      let total = 0;
      const longest = Math.max(...this.#contexts) + options.horizon;
      const ends = (series ?? []).map((values) => (total += Math.max(1, values.length - longest + 1)));
      return { weight, mixed, errorUnits, series, ends };
    });
  }

  next(): TrainingBatch {
    const { horizon, key } = this.#options;
    const batchKey = key.fold(this.#position++);
    const [choice = 0] = batchKey.split("context").uniform(1);
    const context = this.#contexts[Math.floor(choice * this.#contexts.length)] as number;
    const batchSize = Math.floor((this.#options.batchSize * Math.max(...this.#contexts)) / context);
    const labelled = context + horizon - 1;
    const batch = {
      batchSize,
      context,
      values: new Float32Array(batchSize * context),
      labels: new Float32Array(batchSize * labelled),
      lossMask: new Float32Array(batchSize * labelled),
      tokenMask: new Float32Array(batchSize * context),
    };
    for (let b = 0; b < batchSize; b++) {
      const { window, errorUnits } = this.#draw(batchKey.fold(b), context + horizon);
      const scale = normalisationOf(window.subarray(0, context), 1);
      const divisor = scale.standardDeviation || 1;
      const weight = errorUnits === "series" ? divisor ** 2 : 1;
      for (let t = 0; t < labelled + 1; t++) {
        const raw = window[t] ?? Number.NaN;
        const value = (raw - scale.mean) / divisor;
        if (t < context) batch.values[b * context + t] = Number.isNaN(value) ? 0 : value;
        if (t === 0 || Number.isNaN(value)) continue;
        batch.labels[b * labelled + t - 1] = Math.max(-LARGEST_LABEL, Math.min(LARGEST_LABEL, value));
        batch.lossMask[b * labelled + t - 1] = weight;
        if (t <= context) batch.tokenMask[b * context + t - 1] = 1;
      }
    }
    return batch;
  }

  state(): { position: number } {
    return { position: this.#position };
  }

  restore({ position }: { position: number }): void {
    this.#position = position;
  }

  #draw(key: RandomKey, length: number): { window: Float64Array; errorUnits: PreparedSource["errorUnits"] } {
    const [which = 0, place = 0] = key.split("place").uniform(2);
    let left = which * this.#sources.reduce((sum, { weight }) => sum + weight, 0);
    const source =
      this.#sources.find(({ weight }) => {
        left -= weight;
        return left < 0;
      }) ?? (this.#sources.at(-1) as PreparedSource); // rounding may pass the last
    const { errorUnits } = source;
    if (!source.series) return { window: syntheticSeries(key, length), errorUnits };
    const window = source.mixed ? this.#mix(source, key.split("mixture"), length) : this.#cut(source, place, length);
    return { window, errorUnits };
  }

  /** @param place 0 to 1: which of the source's windows */
  #cut({ series, ends }: PreparedSource, place: number, length: number): Float64Array {
    const at = Math.floor(place * (ends.at(-1) ?? 0));
    const chosen = ends.findIndex((end) => at < end);
    const start = at - (ends[chosen - 1] ?? 0);
    return Float64Array.from(Array.prototype.slice.call(series?.[chosen], start, start + length));
  }

  #mix(source: PreparedSource, key: RandomKey, length: number): Float64Array {
    const [choice = 0, sign = 0, ...draws] = key.uniform(2 + 2 * LARGEST_MIXTURE);
    const count = 1 + Math.floor(choice * LARGEST_MIXTURE);
    const sum = new Float64Array(length);
    const shares = Array.from({ length: count }, (_, i) => -Math.log(1 - (draws[2 * i + 1] ?? 0)));
    const norm = Math.hypot(...shares) || 1; // the sum of unlike windows spreads as one of them does
    for (let i = 0; i < count; i++) {
      const window = this.#cut(source, draws[2 * i] ?? 0, length);
      const { mean, standardDeviation } = normalisationOf(window, 1);
      const unit = source.errorUnits === "series" ? 1 : standardDeviation || 1;
      const weight = (shares[i] as number) / norm / unit;
      for (let t = 0; t < sum.length; t++)
        sum[t] = (sum[t] as number) + weight * ((window[t] ?? Number.NaN) - mean) * (sign < 0.5 ? 1 : -1);
    }
    return sum;
  }
}
