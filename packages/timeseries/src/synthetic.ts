import type { RandomKey } from "@moebius/runtime/tensor";

/**
 * A random series for pre-training: a trend, up to three seasons, a smooth random curve and noise, added or multiplied, with
 * occasional level shifts and spikes. Parts are drawn so that every kind occurs alone as well as mixed:
 * - trend: none, linear, saturating or with one break;
 * - seasons: periods of calendars (4, 6, 7, 12, 24, 48, 52, 96, 168) or any from 3 to 200, each with 1 to 4 harmonics, some with a
 *   slowly changing amplitude, some acting on part of a week only (weekday effects);
 * - two fifths of the seasonal ones are trend, seasons and a slow drift alone, with little noise: they repeat themselves almost exactly;
 * - curve: a stationary process of a squared-exponential kernel (random Fourier features), an AR(1) or AR(2) process, or a random walk;
 * - noise: normal or heavy-tailed, from next to none to strong, sometimes growing with the level.
 * The same key gives the same series. Kernel mixtures after Ansari et al. 2024 (Chronos), arXiv:2403.07815, section 4.2.
 * @param length number of points
 */
export function syntheticSeries(key: RandomKey, length: number): Float64Array<ArrayBuffer> {
  const draw = new Draws(key);
  const values = new Float64Array(length);
  if (draw.chance(0.5)) addTrend(values, draw);
  const numSeasons = draw.pick([0, 1, 1, 1, 2, 2, 2, 3]);
  const multiplicative = draw.chance(0.2);
  const season = new Float64Array(length);
  for (let i = 0; i < numSeasons; i++) addSeason(season, draw, 1 / (1 + 0.5 * i));
  for (let t = 0; t < length; t++)
    values[t] = multiplicative
      ? (1 + (values[t] as number)) * (1 + 0.5 * (season[t] as number))
      : (values[t] as number) + (season[t] as number);
  if (numSeasons > 0 && draw.chance(0.4)) {
    if (draw.chance(0.6)) addSmoothCurve(values, draw, 100, 1500);
    addNoise(values, draw, 0.1);
    return values;
  }
  if (draw.chance(0.5)) addSmoothCurve(values, draw, 5, 200);
  if (draw.chance(numSeasons === 0 ? 0.8 : 0.4)) addAutoregression(values, draw);
  if (draw.chance(numSeasons === 0 ? 0.3 : 0.15)) addRandomWalk(values, draw);
  if (draw.chance(0.1)) addLevelShifts(values, draw);
  addNoise(values, draw, 0.6);
  if (draw.chance(0.1)) addSpikes(values, draw);
  return values;
}

/** Numbers from one key, in the order in which they are asked for. */
class Draws {
  readonly #key: RandomKey;
  #count = 0;

  constructor(key: RandomKey) {
    this.#key = key;
  }

  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.#key.fold(this.#count++).uniform(1)[0] as number);
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.uniform() * choices.length)] as T;
  }

  /** Between low and high, evenly on a logarithmic scale. */
  logUniform(low: number, high: number): number {
    return Math.exp(this.uniform(Math.log(low), Math.log(high)));
  }

  normal(): number {
    return this.normals(1)[0] as number;
  }

  normals(count: number): Float32Array {
    return this.#key.fold(this.#count++).normal(count);
  }
}

type Values = Float64Array<ArrayBuffer>;

function add(values: Values, term: (t: number) => number): void {
  for (let t = 0; t < values.length; t++) values[t] = (values[t] as number) + term(t);
}

function addTrend(values: Values, draw: Draws): void {
  const slope = draw.normal() * 2;
  const kind = draw.pick(["linear", "saturating", "break"]);
  const place = draw.uniform(0.2, 0.8);
  const after = draw.normal() * 2;
  const speed = draw.uniform(1, 6);
  add(values, (t) => {
    const x = t / values.length;
    if (kind === "linear") return slope * x;
    if (kind === "saturating") return slope * (1 - Math.exp(-speed * x));
    return slope * Math.min(x, place) + after * Math.max(0, x - place);
  });
}

const CALENDAR_PERIODS = [4, 6, 7, 12, 24, 24, 24, 24, 48, 52, 96, 168, 168];

function addSeason(values: Values, draw: Draws, amplitude: number): void {
  const period = draw.chance(0.75) ? draw.pick(CALENDAR_PERIODS) : draw.logUniform(3, 200);
  const harmonics = draw.pick([1, 2, 3, 4]);
  const waves = Array.from({ length: harmonics }, (_, k) => ({
    order: k + 1,
    size: draw.normal() / (k + 1),
    phase: draw.uniform(0, 2 * Math.PI),
  }));
  const size = amplitude * draw.logUniform(0.4, 2);
  const swell = draw.chance(0.25)
    ? {
        depth: draw.uniform(0.2, 0.8),
        period: draw.uniform(0.5, 3) * values.length,
        phase: draw.uniform(0, 2 * Math.PI),
      }
    : undefined;
  // Some daily patterns differ on two days of seven.
  const weekend =
    period === 24 && draw.chance(0.5)
      ? { size: draw.uniform(-0.5, 0.8), first: Math.floor(draw.uniform(0, 7)) }
      : undefined;
  add(values, (t) => {
    let wave = 0;
    for (const { order, size, phase } of waves) wave += size * Math.sin((2 * Math.PI * order * t) / period + phase);
    const change = swell ? 1 + swell.depth * Math.sin((2 * Math.PI * t) / swell.period + swell.phase) : 1;
    const day = weekend ? (Math.floor(t / 24) + weekend.first) % 7 : 0;
    return size * wave * change * (weekend && day >= 5 ? weekend.size : 1);
  });
}

/** A stationary Gaussian process with kernel exp(−d² / 2l²), by 24 random Fourier features. */
function addSmoothCurve(values: Values, draw: Draws, shortest: number, longest: number): void {
  const lengthScale = draw.logUniform(shortest, longest);
  const size = draw.logUniform(0.2, 1.2);
  const features = 24;
  const frequencies = draw.normals(features).map((x) => x / lengthScale);
  const phases = Array.from({ length: features }, () => draw.uniform(0, 2 * Math.PI));
  add(values, (t) => {
    let sum = 0;
    for (let f = 0; f < features; f++) sum += Math.cos((frequencies[f] as number) * t + (phases[f] as number));
    return size * Math.sqrt(2 / features) * sum;
  });
}

/** x[t] = a x[t−1] + b x[t−2] + noise, stationary, scaled to a standard deviation of `size`. */
function addAutoregression(values: Values, draw: Draws): void {
  const size = draw.logUniform(0.2, 1);
  const radius = draw.uniform(0.5, 0.99);
  const angle = draw.chance(0.5) ? 0 : draw.uniform(0, Math.PI / 2);
  const [a, b] = angle === 0 ? [radius, 0] : [2 * radius * Math.cos(angle), -radius * radius];
  const noise = draw.normals(values.length + 200);
  const path = new Float64Array(values.length + 200); // 200 points to forget the start
  for (let t = 0; t < path.length; t++)
    path[t] = a * (path[t - 1] ?? 0) + b * (path[t - 2] ?? 0) + (noise[t] as number);
  const deviation = Math.sqrt(path.reduce((sum, x) => sum + x * x, 0) / path.length) || 1;
  add(values, (t) => (size * (path[t + 200] as number)) / deviation);
}

/** Steps that add up, so that the last level is the best guess; scaled to a standard deviation of `size` at the end. */
function addRandomWalk(values: Values, draw: Draws): void {
  const size = draw.logUniform(0.2, 2) / Math.sqrt(values.length);
  const steps = draw.normals(values.length);
  let level = 0;
  add(values, (t) => (level += size * (steps[t] as number)));
}

function addLevelShifts(values: Values, draw: Draws): void {
  const count = draw.pick([1, 1, 2]);
  for (let i = 0; i < count; i++) {
    const at = Math.floor(draw.uniform(0.05, 0.95) * values.length);
    const size = draw.normal();
    add(values, (t) => (t >= at ? size : 0));
  }
}

function addNoise(values: Values, draw: Draws, most: number): void {
  const size = draw.logUniform(0.002, most);
  const heavy = draw.chance(0.2);
  const growing = draw.chance(0.15);
  const noise = draw.normals(values.length);
  const level = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length) || 1;
  const spread = heavy ? draw.normals(values.length) : undefined;
  for (let t = 0; t < values.length; t++) {
    const tail = spread ? Math.exp(0.6 * (spread[t] as number)) : 1;
    const scale = growing ? Math.abs(values[t] as number) : level;
    values[t] = (values[t] as number) + size * scale * tail * (noise[t] as number);
  }
}

function addSpikes(values: Values, draw: Draws): void {
  const count = draw.pick([1, 2, 3, 5]);
  for (let i = 0; i < count; i++) {
    const at = Math.floor(draw.uniform() * values.length);
    values[at] = (values[at] as number) + draw.normal() * 4;
  }
}
