/** Mean and standard deviation that a series was normalised with. */
export interface Normalisation {
  mean: number;
  /** 0 for a constant series, which is only centred. */
  standardDeviation: number;
}

/** Spread relative to the mean that rounding leaves in a computed constant; dividing by it would blow noise up to a signal. */
const ROUNDING = 1e-12;

/**
 * Mean and standard deviation of the finite values of a series.
 * @param degreesOfFreedom 1: unbiased, as the reference normalises a forecast's context; 0: population, as it normalises training series
 */
export function normalisationOf(values: ArrayLike<number>, degreesOfFreedom: 0 | 1): Normalisation {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i] as number);
    if (size > largest && size < Number.POSITIVE_INFINITY) largest = size;
  }
  const unit = largest === 0 ? 1 : 2 ** Math.floor(Math.log2(largest)); // a power of 2 is exact; squares neither over- nor underflow
  let count = 0;
  let mean = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const x = (values[i] as number) / unit;
    if (!Number.isFinite(x)) continue;
    count++;
    const difference = x - mean;
    mean += difference / count;
    squares += difference * (x - mean); // Welford: one pass, no cancellation
  }
  const deviation = count > degreesOfFreedom ? Math.sqrt(squares / (count - degreesOfFreedom)) : 0;
  return { mean: unit * mean, standardDeviation: deviation > ROUNDING * Math.abs(mean) ? unit * deviation : 0 };
}

/** (x − mean) / standard deviation, in float64 until the end. */
export function normalise(
  values: ArrayLike<number>,
  { mean, standardDeviation }: Normalisation,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, (x) => (x - mean) / (standardDeviation || 1));
}

export function denormalise(
  values: ArrayLike<number>,
  { mean, standardDeviation }: Normalisation,
): Float64Array<ArrayBuffer> {
  return Float64Array.from(values, (x) => x * (standardDeviation || 1) + mean);
}
