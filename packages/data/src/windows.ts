/** Mean and population standard deviation of the values that are there. */
export interface Scale {
  readonly mean: number;
  readonly deviation: number;
}

/**
 * Measures `values[from..to)`, without the missing ones; a constant or empty stretch has deviation 1, so that it stays
 * finite.
 */
export function measureScale(values: Float64Array, from = 0, to = values.length): Scale {
  let count = 0;
  let sum = 0;
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    if (Number.isNaN(value)) continue;
    count++;
    sum += value;
  }
  if (count === 0) return { mean: 0, deviation: 1 };
  const mean = sum / count;
  let squares = 0;
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    if (!Number.isNaN(value)) squares += (value - mean) ** 2;
  }
  const deviation = Math.sqrt(squares / count);
  // Rounding of the mean leaves a constant stretch with about 1e-16 of its size.
  return { mean, deviation: deviation > Math.abs(mean) * 1e-12 ? deviation : 1 };
}

/** (value − mean) / deviation. [T] f64 */
export function standardise(values: Float64Array, { mean, deviation }: Scale): Float64Array {
  return values.map((value) => (value - mean) / deviation);
}

/** Half-open ranges of rows. */
export interface Split {
  readonly train: readonly [number, number];
  readonly validation: readonly [number, number];
  readonly test: readonly [number, number];
}

/** Splits rows in order of time; borders are rounded down. @param shares of train and validation; the rest is test */
export function splitBorders(length: number, shares = { train: 0.6, validation: 0.2 }): Split {
  const { train, validation } = shares;
  if (!(train > 0 && validation >= 0 && train + validation <= 1))
    throw new RangeError(
      `splitBorders: need train > 0, validation ≥ 0 and a sum ≤ 1, got train=${train}, validation=${validation}`,
    );
  // 0.6 + 0.2 is 0.8 less a rounding error, which would move a border by a row.
  const first = Math.floor(length * train + 1e-9);
  const second = Math.floor(length * (train + validation) + 1e-9);
  return { train: [0, first], validation: [first, second], test: [second, length] };
}

/** Windows of `context` values followed by `horizon` values, by index. */
export interface SlidingWindows {
  readonly count: number;
  /** @returns the series and the row where the context begins; the horizon begins `context` rows later */
  at(index: number): { series: number; start: number };
}

/** Options of `slidingWindows`. */
export interface WindowOptions {
  readonly context: number;
  readonly horizon: number;
  /** Rows between successive windows; default 1. */
  readonly stride?: number;
  /** Rows that horizons may lie in; contexts may begin before. Default: all. */
  readonly range?: readonly [number, number];
}

/**
 * All windows of one or many series whose horizon lies in the range; nothing is copied.
 * @param lengths rows of each series
 */
export function slidingWindows(
  lengths: readonly number[],
  { context, horizon, stride = 1, range }: WindowOptions,
): SlidingWindows {
  if (!(context >= 0 && horizon >= 0 && context + horizon > 0 && stride >= 1))
    throw new RangeError(
      `slidingWindows: need context, horizon ≥ 0, their sum and stride ≥ 1, got context=${context}, horizon=${horizon}, stride=${stride}`,
    );
  const firsts: number[] = [];
  const offsets = [0];
  for (const length of lengths) {
    const first = Math.max(context, range?.[0] ?? 0);
    const last = Math.min(length, range?.[1] ?? length) - horizon;
    firsts.push(first - context);
    offsets.push((offsets.at(-1) as number) + Math.max(0, Math.floor((last - first) / stride) + 1));
  }
  const count = offsets.at(-1) as number;
  return {
    count,
    at(index) {
      if (!(index >= 0 && index < count))
        throw new RangeError(`slidingWindows: need 0 ≤ index < ${count}, got ${index}`);
      let low = 0;
      let high = lengths.length;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if ((offsets[middle] as number) <= index) low = middle;
        else high = middle;
      }
      return { series: low, start: (firsts[low] as number) + (index - (offsets[low] as number)) * stride };
    },
  };
}
