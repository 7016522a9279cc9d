import { UserError } from "@moebius/cli";
import {
  DataError,
  describeFrequency,
  formatTime,
  guessSeason,
  readTable,
  type Series,
  seriesFromTable,
  timestampsOf,
} from "@moebius/data";
import { chooseColumns } from "./columns.ts";
import { fillCells } from "./fill-cells.ts";
import type { InputOptions } from "./options.ts";

/** A series without a missing value. */
export interface InputSeries extends Series {
  /** Points of its season, 1 when it has none. */
  readonly season: number;
  readonly filledCells: number;
}

export interface Input {
  /** File name, for messages. */
  readonly source: string;
  readonly series: readonly InputSeries[];
}

/** The flags behind the options that a DataError names. */
const FLAGS = {
  gaps: "--fill zero, previous or interpolate",
  missing: "--missing zero, previous or interpolate",
  idColumn: "--id-column, or --hour-column for a column of hours",
};

/** Reads the series that the options name, or the only ones that there can be. @throws {UserError} naming file, line and remedy */
export async function readSeries(file: string, options: InputOptions): Promise<Input> {
  const { fill, missing, format, hourColumn, idColumn } = options;
  try {
    const table = await readTable(file, format === undefined ? {} : { format });
    const { values, time } = chooseColumns(table, options);
    const series = seriesFromTable(table, {
      columns: values,
      gaps: fill,
      missing: missing === "error" ? "error" : "nan",
      ...(time === undefined ? {} : { timeColumn: time }),
      ...(hourColumn === undefined ? {} : { hourColumn }),
      ...(idColumn === undefined ? {} : { idColumn }),
    });
    return {
      source: table.source,
      series: series.map((one) => ({
        ...one,
        filledCells: fillCells(one.values, missing),
        season: options.season ?? (one.frequency ? guessSeason(one.frequency) : 1),
      })),
    };
  } catch (error) {
    if (!(error instanceof DataError) || error.option === undefined) throw error;
    throw new UserError(error.message.replace(`option ${error.option}`, FLAGS[error.option]), { cause: error });
  }
}

/** @throws {UserError} naming the first series that has fewer values, and the remedy */
export function expectLength({ source, series }: Input, length: number, why: string): void {
  const short = series.find(({ values }) => values.length < length);
  if (short) throw new UserError(`${source}: ${short.id} has ${short.values.length} values, ${why}`);
}

/** "cnt: 17544 values, one an hour, 2011-01-01 to 2012-12-31 23:00; 165 missing times filled" */
export function describeSeries(series: InputSeries): string {
  const { id, values, frequency, filled, filledCells } = series;
  const times = timestampsOf(series);
  const step = frequency ? `one ${frequency.step === 1 ? "a" : "every"} ${describeFrequency(frequency)}` : "in order";
  const span = times ? `, ${formatTime(times[0] as number)} to ${formatTime(times.at(-1) as number)}` : "";
  const notes = [
    ...(filled > 0 ? [`${filled} missing ${filled === 1 ? "time" : "times"} filled`] : []),
    ...(filledCells > 0 ? [`${filledCells} empty ${filledCells === 1 ? "cell" : "cells"} filled`] : []),
  ];
  return [`${id}: ${values.length} values, ${step.replace("a hour", "an hour")}${span}`, ...notes].join("; ");
}

/** One line a series, or one for all where there are many. */
export function describeInput({ source, series }: Input): string {
  if (series.length <= 5) return series.map(describeSeries).join("\n");
  const lengths = series.map(({ values }) => values.length);
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)];
  const filled = series.reduce((sum, one) => sum + one.filled + one.filledCells, 0);
  const length = least === most ? `${least}` : `${least} to ${most}`;
  return `${source}: ${series.length} series of ${length} values${filled > 0 ? `; ${filled} missing values filled` : ""}`;
}
