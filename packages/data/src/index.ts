/**
 * Tables (CSV, JSON lines, parquet) and regular series out of them, windows over series, and forecast metrics.
 * Typed arrays out, no tensors; Node and the browser. Bad input is a DataError that names file, line and remedy.
 */
export { bikeSharingPath } from "#files";
export { type ByteSource, MAX_SIZE_BYTES } from "./bytes.ts";
export type { Column } from "./column.ts";
export { type CsvOptions, type ReadOptions, readCsv } from "./csv.ts";
export { DataError, type LineUnit, type Place } from "./errors.ts";
export { readJson, readJsonLines } from "./json-lines.ts";
export {
  conformalQuantile,
  conformalWidths,
  mae,
  mase,
  mse,
  naive,
  seasonalNaive,
  smape,
  type Values,
} from "./metrics.ts";
export { readParquet } from "./parquet.ts";
export { type ReadTableOptions, readTable, type TableFormat } from "./read-table.ts";
export { futureTimestamps, type Series, type SeriesOptions, seriesFromTable, timestampsOf } from "./series.ts";
export { MAX_CELLS, numericColumn, type Table } from "./table.ts";
export {
  addSteps,
  describeFrequency,
  detectFrequency,
  type Frequency,
  formatTime,
  guessSeason,
  parseTime,
  stampsFrom,
  type TimeUnit,
} from "./time.ts";
export { fillGaps, type GapPolicy, readTimes, type TimeColumns, type TimeIndex, timeIndex } from "./time-index.ts";
export {
  type WindowBatch,
  type WindowBatches,
  type WindowBatchesOptions,
  type WindowBatchesState,
  windowBatches,
} from "./window-batches.ts";
export {
  measureScale,
  type Scale,
  type SlidingWindows,
  type Split,
  slidingWindows,
  splitBorders,
  standardise,
  type WindowOptions,
} from "./windows.ts";
