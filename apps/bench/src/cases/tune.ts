import type { Device, Tuning } from "@moebius/runtime/device";
import { linear } from "@moebius/runtime/ops";
import { scope } from "@moebius/runtime/tensor";
import { backwardOf } from "./backward.ts";
import type { Run } from "./bench-case.ts";
import { rateRatio, Timer, takeTurns } from "./measure.ts";
import { randomTensor } from "./random.ts";

/** A class of products on which two kernels were measured in turn. */
export interface TunedShape {
  choice: keyof Tuning;
  /** m x n x k */
  shape: string;
  /** What the choice is made by: the kernel is taken from a threshold of it on. */
  size: number;
  /** The rate with the kernel over the rate without it. */
  ratio: number;
}

interface Question {
  choice: keyof Tuning;
  shapes: readonly (readonly [m: number, n: number, k: number])[];
  size: (m: number, n: number) => number;
  prepare: (device: Device, m: number, n: number, k: number) => { setup?: Run; run: Run; owned: Disposable[] };
}

/** Sizes of small models: rows of a batch, widths, inner lengths. */
const QUESTIONS: readonly Question[] = [
  {
    choice: "panelBreakEven",
    shapes: [
      [32, 256, 256],
      [64, 256, 256],
      [64, 1024, 256],
      [128, 128, 256],
      [128, 256, 512],
      [128, 1024, 256],
      [256, 256, 256],
      [256, 1024, 512],
      [512, 512, 512],
    ],
    size: (m, n) => 1 / (1 / m + 1 / n),
    prepare(device, m, n, k) {
      const x = randomTensor(device, "x", [m, k]);
      const weight = randomTensor(device, "weight", [n, k]);
      return { run: () => scope(() => void linear(x, weight)), owned: [x, weight] };
    },
  },
  {
    choice: "wideColumns",
    shapes: [
      [128, 32, 512],
      [128, 64, 512],
      [128, 128, 512],
      [256, 256, 512],
      [512, 512, 512],
    ],
    size: (_, n) => n,
    prepare(device, m, n, k) {
      const x = randomTensor(device, "x", [k, n]);
      const weight = randomTensor(device, "weight", [m, n]);
      const seed = randomTensor(device, "seed", [k, m]);
      return { ...backwardOf([weight], () => linear(x, weight), seed), owned: [x, weight, seed] };
    },
  },
];

/** Measures each choice with and without on its shapes, and finds the thresholds that lose least. The device's own tuning is left as it was. */
export async function measureTuning(
  device: Device,
  { rounds, onShape }: { rounds: number; onShape: (shape: TunedShape) => void },
): Promise<Tuning> {
  const tuning: Tuning = { panelBreakEven: null, wideColumns: null };
  for (const question of QUESTIONS) {
    const measured: TunedShape[] = [];
    for (const [m, n, k] of question.shapes) {
      const ratio = await compare(device, question, [m, n, k], rounds);
      const shape = { choice: question.choice, shape: `${m}x${n}x${k}`, size: question.size(m, n), ratio };
      measured.push(shape);
      onShape(shape);
    }
    tuning[question.choice] = threshold(measured);
  }
  return tuning;
}

async function compare(
  device: Device,
  { choice, prepare }: Question,
  [m, n, k]: readonly [number, number, number],
  rounds: number,
): Promise<number> {
  const before = device.tuning;
  const { setup, run, owned } = prepare(device, m, n, k);
  const under = (value: number | null) => () => {
    device.tuning = { ...before, [choice]: value };
    run();
  };
  try {
    const timers = [await Timer.calibrate(device, under(0), setup), await Timer.calibrate(device, under(null), setup)];
    await takeTurns(timers, rounds);
    const [withIt, without] = timers as [Timer, Timer];
    return rateRatio({}, withIt.times, {}, without.times);
  } finally {
    device.tuning = before;
    for (const one of owned) one[Symbol.dispose]();
  }
}

/** From which size on the kernel is to be taken, so that Σ log(rate) over the shapes is largest; null: never. */
export function threshold(shapes: readonly Pick<TunedShape, "size" | "ratio">[]): number | null {
  let best: { from: number | null; gain: number } = { from: null, gain: 0 };
  for (const { size: from } of shapes) {
    const gain = shapes.reduce((sum, { size, ratio }) => sum + (size >= from ? Math.log(ratio) : 0), 0);
    if (gain > best.gain) best = { from, gain };
  }
  return best.from === null ? null : Math.floor(best.from);
}
