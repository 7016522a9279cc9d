/** Mean and standard deviation that a series was normalised with. */
export interface Normalisation {
  mean: number;
  /** 0 for a constant series, which is only centred. */
  standardDeviation: number;
}

/**
 * Mean and standard deviation of the finite values of a series.
 * @param degreesOfFreedom 1: unbiased, as the reference normalises a forecast's context; 0: population, as it normalises training series
 */
export function normalisationOf(values: ArrayLike<number>, degreesOfFreedom: 0 | 1): Normalisation {
  let count = 0;
  let mean = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i] as number;
    if (!Number.isFinite(x)) continue;
    count++;
    const difference = x - mean;
    mean += difference / count;
    squares += difference * (x - mean); // Welford: one pass, no cancellation
  }
  const variance = count > degreesOfFreedom ? squares / (count - degreesOfFreedom) : 0;
  const standardDeviation = Math.sqrt(variance);
  // A constant series in floating point may leave rounding noise; dividing by it would blow noise up to a signal.
  return { mean, standardDeviation: standardDeviation > 1e-12 * Math.max(1, Math.abs(mean)) ? standardDeviation : 0 };
}

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
