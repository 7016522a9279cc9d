import { ValueError } from "../../device/errors.ts";

/** Steps of Newton's method; far tails take the most, one for each unit of distance at first. */
const MAX_STEPS = 200;

/**
 * Φ⁻¹(p), the number below which a standard normal one lies with probability p, to 1e-12 or better for 1e-12 < p < 1 − 1e-12.
 * @throws {ValueError} unless 0 < p < 1
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new ValueError(`normalQuantile: p is ${p}, expected 0 < p < 1`);
  if (p < 0.5) return -normalQuantile(1 - p);
  // From 0 on, Φ is concave: Newton's method climbs to the root from below and never passes it.
  let x = 0;
  for (let step = 0; step < MAX_STEPS; step++) {
    const move = (p - normalCdf(x)) / density(x);
    x += move;
    if (Math.abs(move) < 1e-14) break;
  }
  return x;
}

const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/(3·5) + …) (Marsaglia 2004, doi:10.18637/jss.v011.i04). */
function normalCdf(x: number): number {
  let [sum, term] = [x, x];
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return 0.5 + density(x) * sum;
}
