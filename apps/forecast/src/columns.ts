import { UserError } from "@moebius/cli";
import { parseTime, type Table } from "@moebius/data";
import type { InputOptions } from "./options.ts";

/** Rows looked at to tell what a column holds. */
const SAMPLE_ROWS = 100;
/** A column of which this share parses holds numbers or times; the cells that do not are then errors with a line. */
const MOST = 0.8;

export interface ChosenColumns {
  values: string[];
  time: string | undefined;
}

/**
 * The columns that the options name, or the only ones that there can be.
 * @throws {UserError} listing the columns to choose from
 */
export function chooseColumns(table: Table, options: InputOptions): ChosenColumns {
  const time = options.timeColumn ?? onlyTimeColumn(table, options);
  return { time, values: options.column ?? [onlyNumericColumn(table, [time, options.hourColumn, options.idColumn])] };
}

function onlyTimeColumn(table: Table, { column = [], idColumn }: InputOptions): string | undefined {
  const found = table.columns.filter(
    (name) => !column.includes(name) && name !== idColumn && most(table, name, (text) => isTime(text, name)),
  );
  if (found.length > 1)
    throw new UserError(`${table.source}: the columns ${found.join(", ")} hold times; choose one with --time-column`);
  return found[0];
}

/** A plain number, such as a year or seconds since 1970, is a time only where the column's name says so. */
function isTime(text: string, name: string): boolean {
  if (parseTime(text) === undefined) return false;
  return /[-/:Q]/i.test(text) || /^(.*(date|time|stamp).*|year|ds|ts)$/i.test(name);
}

function onlyNumericColumn(table: Table, taken: readonly (string | undefined)[]): string {
  const found = table.columns.filter(
    (name) => !taken.includes(name) && most(table, name, (text) => Number.isFinite(Number(text))),
  );
  if (found.length === 1) return found[0] as string;
  throw new UserError(
    found.length === 0
      ? `${table.source}: no column holds numbers; the columns are ${table.columns.join(", ")}`
      : `${table.source}: several columns hold numbers; choose with --column among ${found.join(", ")}`,
  );
}

/** Whether most of the first cells that are not empty pass a test. */
function most(table: Table, name: string, test: (text: string) => boolean): boolean {
  const column = table.column(name);
  const texts = Array.from({ length: Math.min(SAMPLE_ROWS, table.rowCount) }, (_, row) => column.text(row));
  const given = texts.filter((text) => text !== "");
  return given.length > 0 && given.filter(test).length >= MOST * given.length;
}
