import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { bikeSharingPath } from "@moebius/data";
import { parseTrace } from "@moebius/runtime/moe";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { days, fileOf, runForecast, saveTinyModel, temporaryFolder, weekly } from "./run-forecast.ts";

let folder: string;
let data: string;
let tiny: readonly string[];
const inFolder = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = await temporaryFolder();
  data = await fileOf(folder, "days.csv", days(80, weekly));
  tiny = ["--model", await saveTinyModel(folder)];
});
afterAll(() => rm(folder, { recursive: true }));

describe("forecast", () => {
  test("says what it read, prints a table and a plot, writes the files", async () => {
    const [csv, svg] = [inFolder("next.csv"), inFolder("next.svg")];
    const { status, stdout, stderr } = await runForecast([
      data,
      ...tiny,
      "--output",
      csv,
      "--plot",
      svg,
      "--backtest",
      "2",
    ]);
    expect(stderr).toContain("computing on");
    expect(status).toBe(0);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe("sold: 80 values, one a day, 2024-01-01 to 2024-03-20");
    expect(lines[2]).toMatch(/^time +forecast +lower +upper$/);
    expect(lines[3]).toMatch(/^2024-03-21 +[\d.]+ +-?[\d.]+ +[\d.]+$/);
    expect(stdout).toContain("┼");
    expect(stdout).toMatch(
      /Back-test: 2 forecasts of 7 points\nmethod +MAE +MASE +sMAPE\nmodel .*\nseasonal naive .*\nnaive/,
    );
    expect(stdout).toContain(`with a 90 % interval; wrote ${csv}, drew ${svg}.`);
    const table = (await readFile(csv, "utf8")).trim().split("\n");
    expect(table).toHaveLength(8);
    expect(table[0]).toBe("time,forecast,lower,upper");
    expect(await readFile(svg, "utf8")).toContain("Forecast of sold");
  });

  test("reads standard input and answers a program with JSON alone", async () => {
    const trace = inFolder("trace.json");
    const args = ["-", ...tiny, "--no-intervals", "--horizon", "3", "--json", "--profile", trace];
    const { status, stdout, stderr } = await runForecast(args, { input: days(30, weekly) });
    expect(status).toBe(0);
    const { horizon, series } = JSON.parse(stdout);
    expect(horizon).toBe(3);
    expect(series).toEqual([
      {
        ...{ id: "sold", values: 30, season: 7, filled: 0, constant: false },
        times: ["2024-01-31", "2024-02-01", "2024-02-02"],
        mean: [expect.any(Number), expect.any(Number), expect.any(Number)],
      },
    ]);
    expect(stderr).toMatch(/^gemm +\d+ +[\d.]+ +\d+ %/m);
    const { traceEvents } = JSON.parse(await readFile(trace, "utf8"));
    expect(traceEvents.map(({ name }: { name: string }) => name)).toContain("gemm");
  });

  test("many series become one table, and the experts of each a trace", async () => {
    const rows = Array.from(
      { length: 240 },
      (_, row) => `${"ABCD"[row % 4]},${weekly(Math.floor(row / 4)) + (row % 4)}\n`,
    );
    const file = await fileOf(folder, "stores.csv", `store,sold\n${rows.join("")}`);
    const [json, trace] = [inFolder("stores.json"), inFolder("trace.jsonl")];
    const args = [file, ...tiny, "--id-column", "store", "--output", json, "--explain-routing", trace];
    const { status, stdout } = await runForecast(args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/series +values +last value.*\nA .*\nB .*\nC .*\nD /);
    const { series } = JSON.parse(await readFile(json, "utf8"));
    expect(series.map(({ id, mean }: { id: string; mean: number[] }) => [id, mean.length])).toEqual(
      ["A", "B", "C", "D"].map((id) => [id, 12]),
    );
    const { header, visits } = parseTrace(await readFile(trace, "utf8"));
    expect(header).toMatchObject({ layers: 1, experts: 4, top_k: 2, expert_bytes: 4 * 3 * 16 * 8 });
    expect(visits.map(({ step, tokens }) => [step, tokens.length])).toEqual([0, 1, 2, 3].map((step) => [step, 60]));
  });

  test("two columns of the bike-sharing hours, with a picture of the experts", async () => {
    const png = inFolder("experts.png");
    const where = ["--time-column", "dteday", "--hour-column", "hr", "--fill", "zero"];
    const args = [bikeSharingPath, "--column", "casual,registered", ...where, ...tiny, "--explain-routing", png];
    const { status, stdout } = await runForecast([...args, "--context", "96"]);
    expect(status).toBe(0);
    expect(stdout).toContain(
      "casual: 17544 values, one an hour, 2011-01-01 to 2012-12-31 23:00; 165 missing times filled",
    );
    expect(stdout).toMatch(/\n\nregistered\n\ntime +forecast/);
    expect(stdout).toContain("2013-01-01 23:00");
    expect([...(await readFile(png)).subarray(1, 4)]).toEqual([..."PNG"].map((letter) => letter.charCodeAt(0)));
  });

  test("the model that comes along follows a weekly wave more closely than the last value does", async () => {
    const { status, stdout } = await runForecast([data, "--horizon", "14", "--json"]);
    expect(status).toBe(0);
    const [{ mean, lower, upper }] = JSON.parse(stdout).series;
    const distance = (of: (h: number) => number) =>
      mean.reduce((sum: number, _: number, h: number) => sum + Math.abs(weekly(80 + h) - of(h)), 0);
    expect(distance((h) => mean[h])).toBeLessThan(0.6 * distance(() => weekly(79)));
    expect(mean.every((value: number, h: number) => lower[h] < value && value < upper[h])).toBe(true);
  });

  test("a constant series gets a constant forecast, and a note", async () => {
    const file = await fileOf(
      folder,
      "constant.csv",
      days(40, () => 5),
    );
    const { status, stdout } = await runForecast([file, ...tiny, "--horizon", "2"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/2024-02-10 +5 +5 +5\n2024-02-11 +5 +5 +5\n/);
    expect(stdout).toContain("Note: the last values of sold are all the same, so the forecast repeats them.");
  });
});

describe("mistakes", () => {
  test("are one sentence, exit code 2, no output file, and found before a model is loaded", async () => {
    const bad = await fileOf(
      folder,
      "bad.csv",
      days(40, (day) => (day === 30 ? "many" : day)),
    );
    const short = await fileOf(folder, "short.csv", days(10, weekly));
    const output = inFolder("never.csv");
    const cases: [string[], RegExp][] = [
      [[bad], /^error: .*bad\.csv, line 32, column "sold": found "many", expected a number; [^\n]*\n$/],
      [
        [short],
        /short\.csv: sold has 10 values, an interval over a horizon of 7 needs at least 23; .*--no-intervals\n$/,
      ],
      [[data, "--column", "solt"], /there is no column "solt"; .*did you mean "sold"\?\n$/],
      [[folder], /is a folder; give the path of a file in it\n$/],
      [[data, "--plot", inFolder("never.gif")], /--plot: ".*never\.gif" must end in \.png or \.svg\n$/],
      [[data, "--plot", inFolder("nowhere/never.png")], /--plot: cannot write .*: its folder does not exist\n$/],
      [["evaluate", data, "--horizons", "7,30"], /sold has 16 values to score, a horizon of 30 needs at least 30; /],
      [["train", short, "--folder", inFolder("never")], /sold has 10 values, training needs at least 32; /],
    ];
    for (const [args, message] of cases) {
      const forecasts = args[0] !== "evaluate" && args[0] !== "train";
      const { status, stdout, stderr } = await runForecast([...args, ...(forecasts ? ["--output", output] : [])]);
      expect(stderr).toMatch(message);
      expect([status, stdout]).toEqual([2, ""]);
    }
    expect((await readdir(folder)).filter((name) => name.startsWith("never"))).toEqual([]);
  });
});

describe("evaluate", () => {
  test("scores every horizon beside the naive forecasts", async () => {
    const output = inFolder("scores.json");
    const args = ["evaluate", data, ...tiny, "--horizons", "1,7", "--stride", "1", "--output", output];
    const { status, stdout } = await runForecast(args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/horizon +method +forecasts +MSE +MAE +MASE +sMAPE\n/);
    const rows = JSON.parse(await readFile(output, "utf8"));
    expect(
      rows.map((row: { horizon: number; method: string; windows: number }) => [row.horizon, row.method, row.windows]),
    ).toEqual([
      ...["model", "seasonal naive", "naive"].map((method) => [1, method, 16]),
      ...["model", "seasonal naive", "naive"].map((method) => [7, method, 10]),
    ]);
    expect(rows[1].mae).toBeCloseTo(0, 9); // the series repeats its week exactly
  });

  test("M4's files: a row a series, averaged over series", async () => {
    const row = (name: string, from: number, to: number) =>
      `"${name}",${Array.from({ length: to - from }, (_, i) => weekly(from + i)).join(",")}`;
    const head = (width: number) => `${Array.from({ length: width + 1 }, (_, i) => `"V${i + 1}"`).join(",")}\n`;
    const train = await fileOf(
      folder,
      "Some-train.csv",
      `${head(60)}${row("D1", 0, 60)}\n${row("D2", 0, 50)}${",".repeat(10)}\n`,
    );
    const file = await fileOf(folder, "Some-test.csv", `${head(7)}${row("D1", 60, 67)}\n${row("D2", 50, 57)}\n`);
    const { status, stdout } = await runForecast(["evaluate", train, "--m4", file, "--season", "7", ...tiny, "--json"]);
    expect(status).toBe(0);
    const [, seasonal] = JSON.parse(stdout);
    expect(seasonal).toMatchObject({ horizon: 7, method: "seasonal naive", windows: 2, smape: expect.closeTo(0, 6) });
  });
});

describe("anomalies", () => {
  test("a point far out is found, listed and drawn", async () => {
    const file = await fileOf(
      folder,
      "odd.csv",
      days(200, (day) => (day === 150 ? 500 : weekly(day) + (day % 5))),
    );
    const svg = inFolder("odd.svg");
    const { status, stdout } = await runForecast(["anomalies", file, ...tiny, "--plot", svg]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/time +value +expected +lower +upper +score\n/);
    expect(stdout).toMatch(/^2024-05-30 +500/m);
    expect(stdout).toContain("▲");
    expect(await readFile(svg, "utf8")).toContain("Points outside the 99 % interval");
  });
});

describe("train", () => {
  test("trains, goes on where it stopped, and the model forecasts", async () => {
    const run = inFolder("run");
    const size = ["--hidden-size", "16", "--layers", "1", "--heads", "2", "--experts", "4", "--horizons", "1,8"];
    const first = await runForecast([
      "train",
      data,
      "--folder",
      run,
      "--steps",
      "3",
      "--batch",
      "2",
      "--context",
      "32",
      ...size,
    ]);
    expect(first.stderr).toMatch(/train: 3\/3, 100 %/);
    expect(first.stdout).toMatch(/On the values that were not trained on:\nhorizon +method/);
    expect(first.status).toBe(0);

    const again = await runForecast(["train", data, "--folder", run]);
    expect([again.status, again.stderr]).toEqual([
      2,
      `error: ${run} holds a run; go on with it by --resume, or choose another --folder\n`,
    ]);

    const resumed = await runForecast(["train", data, "--folder", run, "--resume", "--steps", "5", "--json"]);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ steps: 5, stopped: false, model: path.join(run, "model") });
    const metrics = (await readFile(path.join(run, "metrics.jsonl"), "utf8")).trim().split("\n");
    expect(metrics.map((line) => JSON.parse(line).step)).toEqual([0, 1, 2, 3, 4]);

    const used = await runForecast([data, "--model", path.join(run, "model"), "--no-intervals", "--quiet"]);
    expect(used.status).toBe(0);
  });
});
