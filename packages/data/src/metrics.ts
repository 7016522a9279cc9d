/** Numbers in order, of any typed array. */
export type Values = ArrayLike<number>;

/** Mean of `error(forecast, actual)` over the steps whose actual value is there; NaN when none is. */
function meanOver(
  forecast: Values,
  actual: Values,
  name: string,
  error: (forecast: number, actual: number) => number,
): number {
  if (forecast.length !== actual.length)
    throw new RangeError(
      `${name}: need a forecast for each value, got ${forecast.length} forecasts, ${actual.length} values`,
    );
  let sum = 0;
  let count = 0;
  for (let i = 0; i < actual.length; i++) {
    const value = actual[i] as number;
    if (Number.isNaN(value)) continue;
    sum += error(forecast[i] as number, value);
    count++;
  }
  return sum / count;
}

/** Mean squared error: mean (f − y)². Missing actual values are left out, here and below. */
export function mse(forecast: Values, actual: Values): number {
  return meanOver(forecast, actual, "mse", (f, y) => (f - y) ** 2);
}

/** Mean absolute error: mean |f − y|. */
export function mae(forecast: Values, actual: Values): number {
  return meanOver(forecast, actual, "mae", (f, y) => Math.abs(f - y));
}

/** Symmetric mean absolute percentage error: mean 200 |f − y| / (|f| + |y|), 0 to 200; 0 where both are 0. */
export function smape(forecast: Values, actual: Values): number {
  return meanOver(forecast, actual, "smape", (f, y) =>
    f === y ? 0 : (200 * Math.abs(f - y)) / (Math.abs(f) + Math.abs(y)),
  );
}

/**
 * Mean absolute scaled error: mae(f, y) / mean |x[t] − x[t−m]|, the error of repeating the last season within
 * `insample`. Infinite when the in-sample values repeat exactly and the forecast does not; 0 when both errors are 0.
 * @param season m ≥ 1
 * @see Hyndman and Koehler 2006, doi 10.1016/j.ijforecast.2006.03.001
 */
export function mase(forecast: Values, actual: Values, insample: Values, season = 1): number {
  if (!(season >= 1 && insample.length > season))
    throw new RangeError(
      `mase: need more in-sample values than the season, got ${insample.length} values, season=${season}`,
    );
  let sum = 0;
  let count = 0;
  for (let t = season; t < insample.length; t++) {
    const change = Math.abs((insample[t] as number) - (insample[t - season] as number));
    if (Number.isNaN(change)) continue;
    sum += change;
    count++;
  }
  const error = mae(forecast, actual);
  return error === 0 ? 0 : error / (sum / count);
}

/** Repeats the last value. [horizon] f64 */
export function naive(history: Values, horizon: number): Float64Array {
  return seasonalNaive(history, horizon, 1);
}

/** Repeats the last season: f[h] = y[T − m + h mod m]. [horizon] f64 @param season m, 1 to T */
export function seasonalNaive(history: Values, horizon: number, season: number): Float64Array {
  if (!(season >= 1 && season <= history.length))
    throw new RangeError(`seasonalNaive: need 1 ≤ season ≤ history, got season=${season}, ${history.length} values`);
  return Float64Array.from({ length: horizon }, (_, h) => history[history.length - season + (h % season)] as number);
}

/**
 * Half-width of a split-conformal interval: the ⌈(n+1)(1−α)⌉-th smallest of n absolute residuals, so that a new one is
 * covered with probability at least 1 − α if they are exchangeable. Infinity when n < 1/α − 1: too few residuals to
 * promise it.
 * @param residuals NaN is left out
 * @param alpha 0 to 1, exclusive
 * @see Lei et al. 2018, arXiv:1604.04173
 */
export function conformalQuantile(residuals: Values, alpha: number): number {
  if (!(alpha > 0 && alpha < 1)) throw new RangeError(`conformalQuantile: need 0 < alpha < 1, got ${alpha}`);
  const sorted = Float64Array.from(residuals, Math.abs)
    .filter((value) => !Number.isNaN(value))
    .sort();
  // 1e-9: (n+1)(1−α) that is whole must not be rounded up.
  const rank = Math.ceil((sorted.length + 1) * (1 - alpha) - 1e-9);
  return sorted[rank - 1] ?? Number.POSITIVE_INFINITY;
}

/**
 * `conformalQuantile` for each step of the horizon.
 * @param residuals [n · horizon], a row a back-test window
 * @returns [horizon] f64
 */
export function conformalWidths(residuals: Values, horizon: number, alpha: number): Float64Array {
  if (!(horizon >= 1 && residuals.length % horizon === 0))
    throw new RangeError(`conformalWidths: need n · horizon residuals, got ${residuals.length}, horizon=${horizon}`);
  const count = residuals.length / horizon;
  return Float64Array.from({ length: horizon }, (_, h) =>
    conformalQuantile(
      Array.from({ length: count }, (_, i) => residuals[i * horizon + h] as number),
      alpha,
    ),
  );
}
