import { addProfileOption, type Command, checkOutputFile, list, Option, positiveInteger } from "@moebius/cli";
import type { TableFormat } from "@moebius/data";
import type { AdapterChoice } from "@moebius/runtime/device";

/** What takes the place of a missing value. */
export type Fill = "error" | "zero" | "previous" | "interpolate";

/** Where the series are in the file. */
export interface InputOptions {
  column?: string[];
  timeColumn?: string;
  hourColumn?: string;
  idColumn?: string;
  fill: Fill;
  missing: Fill;
  season?: number;
  format?: TableFormat;
}

export interface ModelOptions {
  model?: string;
  adapter?: AdapterChoice;
  context?: number;
  profile?: string;
}

const FILLS = ["error", "zero", "previous", "interpolate"];

export function addInputOptions(command: Command): Command {
  return command
    .argument("<data>", "CSV, TSV, JSON lines, JSON or parquet file, gzipped or not; - reads standard input")
    .option(
      "-c, --column <names>",
      "columns to use, separated by commas or repeated (default: the only numeric one)",
      list("--column"),
    )
    .option("-t, --time-column <name>", "column of time stamps (default: the only one that holds times)")
    .option("--hour-column <name>", "column of hours 0 to 23, where the time column holds dates")
    .option("--id-column <name>", "column that tells several series apart")
    .addOption(new Option("--fill <how>", "what to do where a time has no row").choices(FILLS).default("error"))
    .addOption(new Option("--missing <how>", "what to do where a cell is empty").choices(FILLS).default("error"))
    .option(
      "--season <points>",
      "length of the season (default: by the time step: 24 hours, 7 days, 12 months, …)",
      positiveInteger("--season"),
    )
    .addOption(
      new Option("--format <kind>", "what the input holds (default: by its extension; csv for -)").choices([
        "csv",
        "tsv",
        "jsonl",
        "json",
        "parquet",
      ]),
    );
}

export function addModelOptions(command: Command): Command {
  return addDeviceOptions(
    command
      .option("-m, --model <folder or hub id>", "checkpoint to use (default: the one that comes along)")
      .option("--context <points>", "most points of history to look at (default: 512)", positiveInteger("--context")),
  );
}

/** Where it computes, and what the kernels do there. */
export function addDeviceOptions(command: Command): Command {
  return addProfileOption(
    command.addOption(
      new Option("--adapter <kind>", "what to compute on (default: auto, the best there is)").choices([
        "auto",
        "hardware",
        "software",
        "embedded",
      ]),
    ),
  );
}

/** Refuses bad output files before any work; an option that was not given is fine. */
export async function checkOutputs(files: Readonly<Record<string, readonly [string | undefined, string[]]>>) {
  for (const [option, [file, extensions]] of Object.entries(files))
    if (file !== undefined) await checkOutputFile(option, file, extensions);
}
