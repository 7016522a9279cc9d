import { map } from "../kernels/map.ts";
import { reduce } from "../kernels/reduce.ts";
import { type Shape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { viewOf } from "../tensor/views.ts";
import { differentiable, needsGradient } from "./tape.ts";

type F32 = Tensor<"f32">;

/** Sums a gradient over the axes on which an input of `shape` was broadcast. */
export function unbroadcast(gradient: F32, shape: Shape): F32 {
  if (sameShape(gradient.shape, shape)) return gradient;
  let result = gradient;
  const missing = gradient.rank - shape.length;
  for (let axis = 0; axis < gradient.rank; axis++) {
    const kept = shape[axis - missing] ?? 1;
    if (gradient.axis(axis) !== 1 && kept === 1) result = reduce(result, "sum", axis, true);
  }
  return viewOf(result, shape);
}

/** y = f(x), whose slope is an expression of a = x, b = y and c = dy. */
function unary(op: string, forward: string, slope: string, scalars: readonly number[] = []): (x: F32) => F32 {
  return (x) => {
    const y = map(forward, [x], { scalars });
    differentiable(op, [x], [y], [x, y], ([dy], [x, y]) => [
      map(`c * (${slope})`, [x as F32, y as F32, dy as F32], { scalars }),
    ]);
    return y;
  };
}

export const exp = unary("exp", "exp(a)", "b");
/** Natural logarithm; the argument must be positive. */
export const log = unary("log", "log(a)", "T(1.0) / a");
export const sqrt = unary("sqrt", "sqrt(a)", "T(0.5) / b");
export const square = unary("square", "a * a", "2.0 * a");
export const abs = unary("abs", "abs(a)", "sign(a)");
export const negate = unary("negate", "-a", "T(-1.0)");
export const reciprocal = unary("reciprocal", "T(1.0) / a", "-b * b");
export const sin = unary("sin", "sin(a)", "cos(a)");
export const cos = unary("cos", "cos(a)", "-sin(a)");
export const tanh = unary("tanh", "tanh_safe(a)", "T(1.0) - b * b");
export const sigmoid = unary("sigmoid", "sigmoid(a)", "b * (T(1.0) - b)");
export const softplus = unary("softplus", "softplus(a)", "sigmoid(a)");
/** Φ(x): the share of the standard normal distribution below x. */
export const normalCdf = unary("normalCdf", "0.5 * (T(1.0) + erf(a * 0.70710678))", "0.39894228 * exp(-0.5 * a * a)");
/** max(x, 0); NaN passes through, which a plain max would hide. */
export const relu = unary("relu", "select(a, T(0.0), a < T(0.0))", "select(T(1.0), T(0.0), a <= T(0.0))");
/** x · sigmoid(x) (Elfwing et al. 2017, arXiv:1702.03118). */
export const silu = unary("silu", "silu(a)", "silu_slope(a)");
/** x · Φ(x) with the exact normal distribution function (Hendrycks and Gimpel 2016, arXiv:1606.08415). */
export const gelu = unary("gelu", "gelu(a)", "gelu_slope(a)");
/** GELU in its tanh form, as GPT-2 and many checkpoints have it ("gelu_new", "gelu_pytorch_tanh"). */
export const geluTanh = unary("geluTanh", "gelu_tanh(a)", "gelu_tanh_slope(a)");

/** x · factor. */
export function scale(x: F32, factor: number): F32 {
  return unary("scale", "a * s0", "s0", [factor])(x);
}

/** x + term. */
export function addScalar(x: F32, term: number): F32 {
  return unary("addScalar", "a + s0", "T(1.0)", [term])(x);
}

/** min(max(x, low), high); the gradient is zero outside. */
export function clamp(x: F32, low: number, high: number): F32 {
  return unary("clamp", "clamp(a, s0, s1)", "select(T(0.0), T(1.0), (a >= s0) & (a <= s1))", [low, high])(x);
}

/**
 * 0 up to −width / 2, 1 from width / 2 on, a cubic in between whose slope is continuous: a sigmoid that reaches its ends (Hazimeh et al.
 * 2020, arXiv:2002.07772, equation 4).
 */
export function smoothStep(x: F32, width: number): F32 {
  const cubic = "0.5 + a / s0 * (0.75 - 0.25 * a / s0 * a / s0)";
  const y = `select(select(${cubic}, T(1.0), a >= T(s0)), T(0.0), a <= T(-s0))`;
  const slope = "select((0.75 - 0.75 * a / s0 * a / s0) / s0, T(0.0), abs(a) >= T(s0))";
  return unary("smoothStep", y, slope, [width / 2])(x);
}

/** z = f(a, b) with broadcasting; each slope is an expression of a, b and c = dz. */
function binary(op: string, forward: string, slopeA: string, slopeB: string): (a: F32, b: F32) => F32 {
  return (a, b) => {
    const z = map(forward, [a, b]);
    const [wantsA, wantsB] = [needsGradient(a), needsGradient(b)];
    differentiable(op, [a, b], [z], [a, b], ([dz], [a, b]) => {
      const slope = (expression: string, of: Tensor | undefined) =>
        unbroadcast(map(expression, [a as F32, b as F32, dz as F32]), (of as F32).shape);
      return [wantsA ? slope(slopeA, a) : undefined, wantsB ? slope(slopeB, b) : undefined];
    });
    return z;
  };
}

export const multiply = binary("multiply", "a * b", "c * b", "c * a");
export const divide = binary("divide", "a / b", "c / b", "-c * a / (b * b)");
/** Element by element; where both are equal the gradient goes to the first. */
export const maximum = binary("maximum", "max(a, b)", "select(T(0.0), c, a >= b)", "select(c, T(0.0), a >= b)");
export const minimum = binary("minimum", "min(a, b)", "select(T(0.0), c, a <= b)", "select(c, T(0.0), a <= b)");

/** a + b with broadcasting. */
export function add(a: F32, b: F32): F32 {
  const z = map("a + b", [a, b]);
  const shapes = [a.shape, b.shape];
  differentiable("add", [a, b], [z], [], ([dz]) => shapes.map((shape) => passOn(dz as F32, shape)));
  return z;
}

/** a − b with broadcasting. */
export function subtract(a: F32, b: F32): F32 {
  const z = map("a - b", [a, b]);
  const [shapeA, shapeB] = [a.shape, b.shape];
  const wantsB = needsGradient(b);
  differentiable("subtract", [a, b], [z], [], ([dz]) => [
    passOn(dz as F32, shapeA),
    wantsB ? unbroadcast(map("-a", [dz as F32]), shapeB) : undefined,
  ]);
  return z;
}

/** An incoming gradient belongs to the tape; what a vjp returns must be a handle of its own. */
function passOn(gradient: F32, shape: Shape): F32 {
  return sameShape(gradient.shape, shape) ? viewOf(gradient, shape) : unbroadcast(gradient, shape);
}

/** condition ≠ 0 ? a : b, element by element; the condition gets no gradient. */
export function where(condition: Tensor, a: F32, b: F32): F32 {
  const test = condition.dtype === "f32" ? "a != T(0.0)" : "a != (a ^ a)"; // an integer zero of a's width
  const z = map(`select(c, b, ${test})`, [condition, a, b]);
  const [shapeA, shapeB] = [a.shape, b.shape];
  differentiable("where", [a, b], [z], [condition], ([dz], [condition]) => {
    const chosen = (whenTrue: string, whenFalse: string, shape: Shape) =>
      unbroadcast(map(`select(${whenFalse}, ${whenTrue}, ${test})`, [condition as Tensor, dz as F32]), shape);
    return [chosen("b", "T(0.0)", shapeA), chosen("T(0.0)", "b", shapeB)];
  });
  return z;
}
