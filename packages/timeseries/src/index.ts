export { bundledModelUrl } from "./bundled.ts";
export { parseConfig, TIME_MOE_CONFIGS, type TimeMoeConfig, type TimeMoeConfigInput } from "./config.ts";
export { countParameters, type ParameterCount } from "./count-parameters.ts";
export { type EvaluateOptions, type Evaluation, evaluate, type Score } from "./evaluate.ts";
export { type ForecastProgress, forecastPoints, type PointForecast, type PointForecastOptions } from "./forecast.ts";
export { type GenerateOptions, generate, planHeads } from "./generate.ts";
export { conformalIntervals, type IntervalOptions } from "./intervals.ts";
export { headLoss, type LossInputs, type LossParts, timeMoeLoss } from "./loss.ts";
export { TimeMoeModel, type TimeMoeOutput } from "./model.ts";
export { denormalise, type Normalisation, normalisationOf, normalise } from "./normalise.ts";
export { syntheticSeries } from "./synthetic.ts";
export { type Forecast, type ForecastOptions, type SaveOptions, TimeMoe } from "./time-moe.ts";
export { type TrainTimeMoeOptions, trainTimeMoe } from "./train.ts";
export {
  type TrainingBatch,
  TrainingWindows,
  type TrainingWindowsOptions,
  type WindowSource,
} from "./training-data.ts";
