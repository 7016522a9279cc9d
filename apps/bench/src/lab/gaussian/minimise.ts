type Vector = Float64Array<ArrayBuffer>;

interface Objective {
  value: number;
  gradient: Float64Array;
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
};

/**
 * BFGS with a backtracking line search (Nocedal and Wright 2006, algorithm 6.1), for a few variables.
 * @returns the last point; it stops when the gradient is below `tolerance`, or no step makes progress
 */
export function minimise(
  objective: (x: Vector) => Objective,
  start: ArrayLike<number>,
  { iterations = 300, tolerance = 1e-8 }: { iterations?: number; tolerance?: number } = {},
): Vector {
  const n = start.length;
  let x = Float64Array.from(start);
  let here = objective(x);
  let inverse = Float64Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0));
  const row = (i: number) => inverse.subarray(i * n, (i + 1) * n);
  for (let k = 0; k < iterations && Math.max(...here.gradient.map(Math.abs)) > tolerance; k++) {
    const direction = Float64Array.from({ length: n }, (_, i) => -dot(row(i), here.gradient));
    const slope = dot(direction, here.gradient);
    let size = 1;
    let next = objective(x.map((v, i) => v + size * (direction[i] as number)));
    while (!(next.value <= here.value + 1e-4 * size * slope) && size > 1e-12) {
      size /= 2;
      next = objective(x.map((v, i) => v + size * (direction[i] as number)));
    }
    if (!(next.value < here.value)) return x;
    const step = direction.map((d) => size * d);
    const change = next.gradient.map((g, i) => g - (here.gradient[i] as number));
    x = x.map((v, i) => v + (step[i] as number));
    here = next;
    const curvature = dot(step, change);
    if (curvature <= 1e-14) continue;
    const turned = Float64Array.from({ length: n }, (_, i) => dot(row(i), change));
    const weight = (1 + dot(change, turned) / curvature) / curvature;
    inverse = inverse.map((h, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      const [si, sj, ti, tj] = [step[i], step[j], turned[i], turned[j]] as [number, number, number, number];
      return h + weight * si * sj - (ti * sj + si * tj) / curvature;
    });
  }
  return x;
}
