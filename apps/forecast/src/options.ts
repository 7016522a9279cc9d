import { type Command, list, Option, positiveInteger, UserError } from "@moebius/cli";
import type { GapPolicy } from "@moebius/data";
import type { AdapterChoice } from "@moebius/runtime/device";

/** Where the series are in the file. */
export interface InputOptions {
  column?: string[];
  timeColumn?: string;
  hourColumn?: string;
  idColumn?: string;
  fill: GapPolicy;
}

export interface ModelOptions {
  model?: string;
  adapter?: AdapterChoice;
  context?: number;
}

export interface SharedOptions {
  json: boolean;
  quiet: boolean;
}

export function addInputOptions(command: Command): Command {
  return command
    .argument("<data>", "CSV, TSV, JSON lines, JSON or parquet file, gzipped or not; - reads standard input")
    .option(
      "-c, --column <names>",
      "columns to use, separated by commas (default: the only numeric one)",
      list("--column"),
    )
    .option("-t, --time-column <name>", "column of time stamps (default: the first one that holds times)")
    .option("--hour-column <name>", "column of hours 0 to 23, where the time column holds dates")
    .option("--id-column <name>", "column that tells several series apart")
    .addOption(
      new Option("--fill <how>", "what to do with missing time stamps and empty cells")
        .choices(["error", "zero", "previous", "interpolate"])
        .default("error"),
    );
}

export function addModelOptions(command: Command): Command {
  return command
    .option("-m, --model <folder or hub id>", "checkpoint to use (default: the one that comes along)")
    .option("--context <points>", "points of history that the model looks at", positiveInteger("--context"))
    .addOption(
      new Option("--adapter <kind>", "what to compute on").choices(["auto", "hardware", "software", "embedded"]),
    );
}

/** Refuses an output file of an unknown kind before any work is done. */
export function expectExtension(option: string, file: string | undefined, allowed: readonly string[]): void {
  if (file === undefined) return;
  const extension = file.slice(file.lastIndexOf(".") + 1).toLowerCase();
  if (!allowed.includes(extension))
    throw new UserError(`${option}: "${file}" must end in ${allowed.map((one) => `.${one}`).join(" or ")}`);
}
