import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { bikeSharingPath } from "@moebius/data";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forecast } from "./run-cli.ts";

let folder: string;
const file = (name: string) => path.join(folder, name);

/** Hourly values with a daily wave, from `start` on. */
function hourly(count: number, value = (t: number) => 10 + 5 * Math.sin((2 * Math.PI * t) / 24)): string[] {
  return Array.from(
    { length: count },
    (_, t) => `${new Date(Date.UTC(2024, 0, 1, t)).toISOString().slice(0, 16)},${value(t)}`,
  );
}
const csv = (rows: readonly string[], header = "time,value") => `${[header, ...rows].join("\n")}\n`;

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "moebius-forecast-"));
  await writeFile(file("good.csv"), csv(hourly(200)));
});
afterAll(() => rm(folder, { recursive: true }));

const TIMEOUT = { timeout: 120_000 };

describe("forecast", () => {
  test("prints a table with the future's times, and writes CSV and PNG", TIMEOUT, async () => {
    const [out, plot] = [file("out.csv"), file("out.png")];
    const result = await forecast([
      file("good.csv"),
      "--horizon",
      "6",
      "--no-intervals",
      "--output",
      out,
      "--plot",
      plot,
    ]);
    expect(result.stderr).toContain("200 hour");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/2024-01-09 08:00 +\d/);
    const lines = (await readFile(out, "utf8")).trim().split("\n");
    expect(lines[0]).toBe("time,forecast");
    expect(lines).toHaveLength(7);
    expect((await readFile(plot)).subarray(1, 4).toString()).toBe("PNG");
  });

  test("follows a plain daily wave more closely than repeating the last value", TIMEOUT, async () => {
    const { stdout } = await forecast([file("good.csv"), "--horizon", "24", "--no-intervals", "--json"]);
    const [only] = JSON.parse(stdout).series;
    const wave = Array.from({ length: 24 }, (_, h) => 10 + 5 * Math.sin((2 * Math.PI * (200 + h)) / 24));
    const last = 10 + 5 * Math.sin((2 * Math.PI * 199) / 24);
    const error = (of: (h: number) => number) => wave.reduce((sum, x, h) => sum + Math.abs(x - of(h)), 0) / 24;
    expect(error((h) => only.mean[h])).toBeLessThan(0.5 * error(() => last));
  });

  test("reads standard input, several columns, and gives bounds that hold the mean", TIMEOUT, async () => {
    const rows = hourly(120).map((row, t) => `${row},${t}`);
    const result = await forecast(
      ["-", "--column", "value,count", "--horizon", "4", "--json"],
      csv(rows, "time,value,count"),
    );
    expect(result.code).toBe(0);
    const { series } = JSON.parse(result.stdout);
    expect(series.map(({ id }: { id: string }) => id)).toEqual(["value", "count"]);
    for (const { mean, lower, upper } of series)
      for (let h = 0; h < 4; h++) expect(lower[h] <= mean[h] && mean[h] <= upper[h]).toBe(true);
  });

  test("a constant series gets a constant forecast, with a note", TIMEOUT, async () => {
    await writeFile(file("flat.csv"), csv(hourly(60, () => 7)));
    const { stdout, code } = await forecast([file("flat.csv"), "--horizon", "3", "--no-intervals"]);
    expect(code).toBe(0);
    expect(stdout).toContain("so the forecast repeats them");
    expect(stdout.match(/2024-01-03 1\d:00 +7\b/g)).toHaveLength(3);
  });

  test("the bundled data needs its gaps filled, and says how many", TIMEOUT, async () => {
    const args = [
      bikeSharingPath,
      "--column",
      "cnt",
      "--time-column",
      "dteday",
      "--hour-column",
      "hr",
      "--horizon",
      "3",
      "--no-intervals",
    ];
    const refused = await forecast(args);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/hour\.csv\.gz.*165/s);
    const filled = await forecast([...args, "--fill", "zero"]);
    expect(filled.code).toBe(0);
    expect(filled.stderr).toContain("165 were missing and filled");
  });

  test("--explain-routing writes the routing trace", TIMEOUT, async () => {
    const trace = file("trace.jsonl");
    const { code } = await forecast([file("good.csv"), "--horizon", "2", "--no-intervals", "--explain-routing", trace]);
    expect(code).toBe(0);
    const [header, first] = (await readFile(trace, "utf8")).split("\n").map((line) => JSON.parse(line || "null"));
    expect(header).toMatchObject({ model: "time-moe", layers: 3, experts: 8, top_k: 2 });
    expect(first.tokens).toHaveLength(200);
  });
});

describe("other commands", () => {
  test("evaluate scores the model beside naive forecasts", TIMEOUT, async () => {
    const { stdout, code } = await forecast([
      "evaluate",
      file("good.csv"),
      "--horizons",
      "6",
      "--stride",
      "12",
      "--json",
    ]);
    expect(code).toBe(0);
    const [evaluation] = JSON.parse(stdout);
    expect(evaluation).toMatchObject({ horizon: 6, windows: 3 });
    expect(evaluation.model.mae).toBeLessThan(evaluation.naive.mae);
  });

  test("anomalies finds the planted one", TIMEOUT, async () => {
    await writeFile(
      file("odd.csv"),
      csv(hourly(300, (t) => (t === 250 ? 40 : 10 + 5 * Math.sin((2 * Math.PI * t) / 24)))),
    );
    const { stdout, code } = await forecast(["anomalies", file("odd.csv"), "--coverage", "0.99", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).map(({ index }: { index: number }) => index)).toContain(250);
  });

  test("train makes a model that forecast can use", TIMEOUT, async () => {
    const run = file("run");
    const small = [
      "--steps",
      "3",
      "--batch",
      "2",
      "--context",
      "32",
      "--hidden-size",
      "16",
      "--layers",
      "1",
      "--heads",
      "2",
      "--experts",
      "4",
      "--horizons",
      "1,8",
    ];
    const trained = await forecast(["train", file("good.csv"), "--folder", run, ...small]);
    expect(trained.code).toBe(0);
    expect(trained.stdout).toMatch(/loss \d/);
    const used = await forecast([
      file("good.csv"),
      "--model",
      path.join(run, "model"),
      "--horizon",
      "9",
      "--no-intervals",
    ]);
    expect(used.code).toBe(0);
  });
});

describe("bad input is one sentence, exit code 2, and no output file", () => {
  const bad: [what: string, content: string, args: string[], message: RegExp][] = [
    ["a missing column", csv(hourly(50)), ["--column", "valu"], /there is no column "valu".*value/],
    ["a text cell", csv([...hourly(50), "2024-01-03T02:00,many"]), ["--column", "value"], /line 52.*many/],
    ["Infinity", csv([...hourly(50), "2024-01-03T02:00,Infinity"]), ["--column", "value"], /line 52.*Infinity/],
    ["unsorted times", csv([...hourly(50), "2024-01-01T00:30,1", "2024-01-03T05:00,1"]), [], /line 52/],
    ["duplicate times", csv([...hourly(50), "2024-01-03T01:00,1"]), [], /line 52/],
    ["gaps", csv([...hourly(50), "2024-01-03T09:00,1"]), [], /--fill|gap|missing/],
    ["an empty file", "", [], /empty/],
    ["a header alone", "time,value\n", [], /no rows/],
    [
      "several numeric columns",
      csv(
        hourly(50).map((row) => `${row},1`),
        "time,a,b",
      ),
      [],
      /--column.*a, b/,
    ],
    ["an interval for too few points", csv(hourly(12)), ["--horizon", "24"], /too few|at least/],
  ];
  test.each(bad)("%s", TIMEOUT, async (what, content, args, message) => {
    const input = file(`bad-${what.replaceAll(" ", "-")}.csv`);
    const output = file(`bad-${what.replaceAll(" ", "-")}.out.csv`);
    await writeFile(input, content);
    const result = await forecast([input, "--horizon", "3", ...args, "--output", output]);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect(result.code).toBe(2);
    expect(existsSync(output)).toBe(false);
  });

  test("a plot of an unknown kind is refused before any work", TIMEOUT, async () => {
    const result = await forecast([file("good.csv"), "--plot", file("x.bmp")]);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/png|svg/);
    expect(result.stderr).not.toContain("computing on");
  });

  test("a file that is not there", TIMEOUT, async () => {
    const result = await forecast([file("nowhere.csv")]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("nowhere.csv");
  });
});
