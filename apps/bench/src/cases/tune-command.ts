import { createProgress, printJson, printTable, type SharedOptions } from "@moebius/cli";
import { requestDevice, saveTuning, type TuningRow, tuningFile } from "@moebius/runtime/device";
import { measureTuning, type TunedShape } from "./tune.ts";

/** Measures the adapter at hand and writes its row, which every later run on it reads. */
export async function tuneCommand({
  rounds,
  json = false,
  quiet = false,
}: SharedOptions & { rounds: number }): Promise<void> {
  using progress = createProgress({ quiet: quiet || json });
  using device = await requestDevice({ onNotice: progress.say });
  const shapes: TunedShape[] = [];
  const onShape = (shape: TunedShape) => {
    shapes.push(shape);
    progress.report({ stage: "tune", done: shapes.length, note: `${shape.choice} ${shape.shape}` });
  };
  const tuning = await measureTuning(device, { rounds, onShape });
  progress.end();
  const { adapter, subgroupSize } = device.describe();
  const row: TuningRow = { adapter, subgroupSize, date: new Date().toISOString().slice(0, 10), ...tuning };
  await saveTuning(row);
  if (json) return printJson({ row, shapes });
  printTable(
    [{ header: "choice" }, { header: "shape" }, { header: "with over without" }, { header: "winner" }],
    shapes.map(({ choice, shape, ratio }) => [choice, shape, ratio.toFixed(2), ratio > 1 ? "with" : "without"]),
  );
  process.stdout.write(`${JSON.stringify(row)}\nwritten to ${tuningFile()}\n`);
}
