import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { forecastSpec, heatmapSpec, renderChart, UserError } from "../../src/index.ts";
import { runFixture } from "../fixtures/run-fixture.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "moebius-charts-"));
});

const hourMs = 3_600_000;
const hourly = (from: number, length: number) =>
  Array.from({ length }, (_, index) => ({
    time: (from + index) * hourMs,
    value: 200 + 100 * Math.sin((from + index) / 4),
  }));

const oneSeries = (name: string) => {
  const [history, forecast] = [hourly(0, 400), hourly(400, 168)];
  const bound = (offset: number) => forecast.map(({ value }) => value + offset);
  return { name, history, forecast, lower: bound(-40), upper: bound(40), anomalies: history.slice(100, 102) };
};

/** [width, height] of a PNG: bytes 16 to 23 of its header. */
const pngSize = (bytes: Buffer) => [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];

describe("renderChart", () => {
  test("a forecast of two series with interval and anomalies is a PNG of two panels", async () => {
    const file = join(folder, "forecast.png");
    await renderChart(forecastSpec({ title: "Rentals", series: [oneSeries("cnt"), oneSeries("registered")] }), file);
    const [width = 0, height = 0] = pngSize(await readFile(file));
    expect(width).toBeGreaterThan(1800); // panels of 900 units, two pixels each
    expect(height).toBeGreaterThan(880);
  });

  test("an SVG has the title, the legend's names, the panels and the dates as text", async () => {
    const file = join(folder, "forecast.svg");
    const series = [oneSeries("cnt"), oneSeries("a <b> & c")];
    await renderChart(forecastSpec({ title: "Rentals", intervalName: "90 % interval", series }), file);
    const svg = await readFile(file, "utf8");
    for (const text of [
      "Rentals",
      "history",
      "forecast",
      "90 % interval",
      "anomaly",
      "cnt",
      "a &lt;b&gt; &amp; c",
      "3 Jan",
      "1970",
    ]) {
      expect(svg).toContain(`>${text}</text>`);
    }
  });

  test("a heatmap puts the layers below each other under one legend", async () => {
    const cells = ["layer 0", "layer 1"].flatMap((panel) =>
      Array.from({ length: 8 * 96 }, (_, index) => ({
        panel,
        row: index % 8,
        column: Math.floor(index / 8),
        value: (index % 7) / 7,
      })),
    );
    const file = join(folder, "heatmap.svg");
    await renderChart(
      heatmapSpec({ title: "Experts", rowTitle: "expert", columnTitle: "step", valueTitle: "share", cells }),
      file,
    );
    const svg = await readFile(file, "utf8");
    expect(svg.split(">share</text>")).toHaveLength(2);
    expect(svg.split(">expert</text>")).toHaveLength(3);
    for (const text of ["layer 0", "layer 1", "90"]) expect(svg).toContain(`>${text}</text>`);
  });

  test("another file name is the user's mistake and writes nothing", async () => {
    const spec = forecastSpec({ title: "x", series: [oneSeries("x")] });
    const file = join(folder, "chart.pdf");
    await expect(renderChart(spec, file)).rejects.toThrow(
      new UserError(`${file}: a chart's file name must end in .png or .svg`),
    );
    expect(await readdir(folder)).not.toContain("chart.pdf");
  });

  test("a machine without fonts draws the same picture, text included", async () => {
    const noFonts = join(folder, "no-fonts.conf");
    await writeFile(noFonts, '<?xml version="1.0"?><fontconfig></fontconfig>');
    const [here, bare] = [join(folder, "here.png"), join(folder, "bare.png")];
    expect(runFixture("render.ts", [here])).toMatchObject({ status: 0, stderr: "" });
    expect(runFixture("render.ts", [bare], { FONTCONFIG_FILE: noFonts })).toMatchObject({ status: 0, stderr: "" });
    expect((await readFile(bare)).equals(await readFile(here))).toBe(true);
  });
});
