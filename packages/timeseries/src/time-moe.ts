import { type Device, requestDevice } from "@moebius/runtime/device";
import {
  expertPerTensor,
  type HubOptions,
  loadModel,
  publishedTensors,
  saveCheckpoint,
  toBfloat16,
  type WritableTensor,
} from "@moebius/runtime/io";
import { RandomKey } from "@moebius/runtime/tensor";
import { parseConfig, type TimeMoeConfigInput } from "./config.ts";
import { forecastPoints, type PointForecast, type PointForecastOptions } from "./forecast.ts";
import { conformalIntervals, type IntervalOptions } from "./intervals.ts";
import { type LossInputs, type LossParts, timeMoeLoss } from "./loss.ts";
import { TimeMoeModel } from "./model.ts";

export interface ForecastOptions extends PointForecastOptions, IntervalOptions {}

export interface Forecast extends PointForecast {
  /** [horizon] bounds of the interval, when one was asked for. */
  lower?: Float64Array<ArrayBuffer>;
  upper?: Float64Array<ArrayBuffer>;
}

export interface SaveOptions {
  dtype?: "float32" | "bfloat16";
  /** Strings for the header of the file. */
  metadata?: Record<string, string>;
}

const LAYOUT = expertPerTensor();

/** A Time-MoE model with all that one does with it: load, forecast, train, save. */
export class TimeMoe extends TimeMoeModel {
  #ownsDevice = false;

  /** A new model with random weights. @throws {ConfigError} naming the key that is wrong */
  static fromConfig(device: Device, config: TimeMoeConfigInput, { seed = 0 }: { seed?: number } = {}): TimeMoe {
    const model = new TimeMoe(device, config);
    model.initialize(new RandomKey(seed));
    return model;
  }

  /**
   * Loads a checkpoint folder, or a repository of the Hugging Face Hub such as "Maple728/TimeMoE-50M", in the published layout.
   * Without `device` it requests one, which is disposed with the model.
   * @throws {CheckpointError} naming what is missing, damaged or of another shape
   */
  static async fromPretrained(folderOrHubId: string, options: HubOptions & { device?: Device } = {}): Promise<TimeMoe> {
    return loadModel(folderOrHubId, {
      ...options,
      make: async (published, source) => {
        const config = parseConfig(published, source);
        const model = new TimeMoe(options.device ?? (await requestDevice()), config);
        model.#ownsDevice = options.device === undefined;
        return model;
      },
      layout: () => LAYOUT,
    });
  }

  /** Forecasts one series: see forecastMany. */
  async forecast(series: ArrayLike<number>, options: ForecastOptions): Promise<Forecast> {
    const [only] = await this.forecastMany([series], options);
    return only as Forecast;
  }

  /**
   * Forecasts several series at once: the mean, and with `interval` bounds from a conformal back-test on each series' own past.
   * @throws {ValueError} naming series and position of a value that cannot be used, or the option that is out of range
   */
  async forecastMany(series: readonly ArrayLike<number>[], options: ForecastOptions): Promise<Forecast[]> {
    const points = await forecastPoints(this, series, options);
    const { interval } = options;
    if (interval === undefined) return points;
    const halfWidths = await conformalIntervals(this, series, { ...options, interval });
    return points.map((point, i) => {
      const width = halfWidths[i] as Float64Array;
      const shifted = (sign: 1 | -1) => point.mean.map((x, h) => x + sign * (width[h] as number));
      return { ...point, lower: shifted(-1), upper: shifted(1) };
    });
  }

  /** The training loss and its parts: see timeMoeLoss. */
  loss(inputs: LossInputs): LossParts {
    return timeMoeLoss(this, inputs);
  }

  /**
   * Saves config.json and model.safetensors in the published layout, atomically.
   * @param options.dtype bfloat16 halves the file, as the published ones have it. Default float32
   */
  async save(folder: string, { dtype = "float32", metadata = {} }: SaveOptions = {}): Promise<void> {
    const tensors: WritableTensor[] = [];
    for await (const tensor of publishedTensors(this, LAYOUT, (_, parameter) => parameter.read()))
      tensors.push(dtype === "bfloat16" ? { ...tensor, dtype: "BF16", data: toBfloat16(tensor.data) } : tensor);
    await saveCheckpoint(folder, {
      config: { architectures: ["TimeMoeForPrediction"], ...this.config, torch_dtype: dtype },
      tensors,
      metadata: { format: "pt", ...metadata },
    });
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    if (this.#ownsDevice) this.device[Symbol.dispose]();
  }
}
