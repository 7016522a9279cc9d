import { forecastSpec, heatmapSpec, lineChartSpec, renderChart, terminalPlot } from "./src/index.ts";

const start = Date.UTC(2012, 10, 20);
const h = 3.6e6;
const rnd = (
  (s) => () =>
    (s = (s * 1103515245 + 12345) % 2147483648) / 2147483648
)(7);
const make = (name: string, scale: number) => {
  const f = (i: number) =>
    scale *
    (200 + 120 * Math.sin((i / 24) * 2 * Math.PI) + 60 * Math.sin((i / 168) * 2 * Math.PI) + 40 * (rnd() - 0.5));
  const history = Array.from({ length: 400 }, (_, i) => ({ time: new Date(start + i * h), value: f(i) }));
  history[300] = { time: history[300]!.time, value: scale * 700 };
  history[120] = { time: history[120]!.time, value: scale * -50 };
  for (let i = 200; i < 212; i++) history[i] = { time: history[i]!.time, value: NaN };
  const truth = Array.from({ length: 168 }, (_, i) => ({ time: start + (i + 400) * h, value: f(i + 400) }));
  const forecast = truth.map((p) => ({ time: p.time, value: p.value * 0.9 + scale * 25 }));
  return {
    name,
    history,
    forecast,
    truth,
    lower: forecast.map((p, i) => p.value - scale * (30 + i / 3)),
    upper: forecast.map((p, i) => p.value + scale * (30 + i / 3)),
    anomalies: [history[300]!, history[120]!],
  };
};
const a = make("cnt", 1),
  b = make("registered", 1200);
await renderChart(
  forecastSpec({
    title: "Bike sharing: the next 168 hours",
    subtitle: "Time-MoE small, 400 hours of context",
    valueTitle: "rentals per hour",
    intervalName: "90 % interval",
    series: [a, b],
  }),
  "/tmp/cli-charts/forecast-two.png",
);
const { truth, anomalies, ...plain } = a;
void truth;
void anomalies;
await renderChart(
  forecastSpec({
    title: "Bike sharing: the next 168 hours",
    valueTitle: "rentals per hour",
    intervalName: "90 % interval",
    series: [plain],
  }),
  "/tmp/cli-charts/forecast-one.png",
);
await renderChart(
  forecastSpec({
    title: "No timestamps",
    series: [
      {
        name: "y",
        history: Array.from({ length: 40 }, (_, i) => ({ index: i, value: Math.sin(i / 4) })),
        forecast: Array.from({ length: 6 }, (_, i) => ({ index: 40 + i, value: Math.sin((40 + i) / 4) })),
      },
    ],
  }),
  "/tmp/cli-charts/forecast-index.svg",
);
await renderChart(
  forecastSpec({
    title: "No timestamps",
    series: [
      {
        name: "y",
        history: Array.from({ length: 40 }, (_, i) => ({ index: i, value: Math.sin(i / 4) })),
        forecast: Array.from({ length: 6 }, (_, i) => ({ index: 40 + i, value: Math.sin((40 + i) / 4) })),
      },
    ],
  }),
  "/tmp/cli-charts/forecast-index.png",
);
const cells = (layers: number, columns: number) =>
  Array.from({ length: layers }, (_, l) =>
    Array.from({ length: 8 }, (_, e) =>
      Array.from({ length: columns }, (_, t) => ({
        panel: `layer ${l}`,
        row: e,
        column: t,
        value: Math.max(0, 0.3 + 0.3 * Math.sin(t / 8 + e * (l + 1)) + 0.2 * (rnd() - 0.5)),
      })),
    ),
  ).flat(2);
await renderChart(
  heatmapSpec({
    title: "Experts over time",
    subtitle: "cnt, 512 steps",
    rowTitle: "expert",
    columnTitle: "time step",
    valueTitle: "share of the router's weight",
    cells: cells(4, 512),
  }),
  "/tmp/cli-charts/heatmap-time.png",
);
const series = ["north", "south", "east", "west", "centre"];
await renderChart(
  heatmapSpec({
    title: "Experts by series",
    rowTitle: "expert",
    columnTitle: "series",
    valueTitle: "share of the router's weight",
    cells: cells(6, 5).map((c) => ({ ...c, column: series[c.column]! })),
  }),
  "/tmp/cli-charts/heatmap-series.png",
);
await renderChart(
  lineChartSpec({
    title: "Training",
    xTitle: "step",
    yTitle: "Huber loss",
    logarithmic: true,
    series: ["MoE", "dense twin"].map((name, k) => ({
      name,
      points: Array.from({ length: 300 }, (_, i) => ({
        x: i * 10,
        y: (1 + k * 0.2) * Math.exp(-i / 120) + 0.1 + 0.02 * rnd(),
      })),
    })),
  }),
  "/tmp/cli-charts/lines.png",
);
console.log(
  terminalPlot(
    a.history.map((p) => p.value),
    a.forecast.map((p) => p.value),
    { title: "cnt", labels: { start: "2012-11-20", forecast: "2012-12-06 16:00", end: "2012-12-13" } },
  ),
);
console.log(terminalPlot([1, 2, 3, 2, 1, 2], [3, 2], { widthColumns: 60, heightRows: 6 }));
console.log(terminalPlot([5, 5, 5], [5, 5], { widthColumns: 60 }));
