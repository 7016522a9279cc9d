import path from "node:path";
import { bikeSharingPath, measureScale, readTable, seriesFromTable, standardise } from "@moebius/data";

/** A data set under its published protocol: standardised by its train rows, with borders in rows. */
export interface Benchmark {
  name: string;
  /** One a column, standardised by the mean and population standard deviation of the train rows. */
  series: Float64Array[];
  train: readonly [number, number];
  validation: readonly [number, number];
  test: readonly [number, number];
}

/** ETTh1 or ETTh2: seven columns, 12/4/4 months of 30 days (Zhou et al. 2021, arXiv:2012.07436). Its licence forbids derived files: by path only. */
export async function ett(folder: string, name: "ETTh1" | "ETTh2"): Promise<Benchmark> {
  const table = await readTable(path.join(folder, `${name}.csv.gz`));
  const columns = table.columns.filter((column) => column !== "date");
  return benchmark(
    name,
    seriesFromTable(table, { columns, timeColumn: "date" }).map(({ values }) => values),
    [0, 8640, 11_520, 14_400],
  );
}

/** Hourly rentals on the regular grid, missing hours as 0, 60/20/20 by time. */
export async function bikeSharing(): Promise<Benchmark> {
  const table = await readTable(bikeSharingPath);
  const [count] = seriesFromTable(table, { columns: ["cnt"], timeColumn: "dteday", hourColumn: "hr", gaps: "zero" });
  return benchmark("bike-sharing", count ? [count.values] : [], [0, 10_526, 14_035, 17_544]);
}

function benchmark(name: string, columns: Float64Array[], [a, b, c, d]: [number, number, number, number]): Benchmark {
  const series = columns.map((values) => standardise(values, measureScale(values, a, b)));
  return { name, series, train: [a, b], validation: [b, c], test: [c, d] };
}

/** One wide row a series: an id and its values, empty cells at the end. */
export async function m4(
  folder: string,
  group: "Hourly" | "Weekly",
): Promise<{ past: Float64Array; future: Float64Array }[]> {
  const rows = async (file: string) => {
    const table = await readTable(path.join(folder, file));
    const columns = table.columns.slice(1).map((name) => table.column(name));
    return Array.from({ length: table.rowCount }, (_, row) => {
      const cells = columns.map((column) => column.text(row)).filter((text) => text !== "");
      return Float64Array.from(cells, Number);
    });
  };
  const [past, future] = [await rows(`${group}-train.csv.gz`), await rows(`${group}-test.csv.gz`)];
  return past.map((values, i) => ({ past: values, future: future[i] as Float64Array }));
}
