// Functions that WGSL lacks or that adapters compute badly. T is f32 or vec4f, chosen by the including kernel.
fn sigmoid(x: T) -> T { return T(1.0) / (T(1.0) + exp(-clamp(x, T(-80.0), T(80.0)))); }
fn silu(x: T) -> T { return x * sigmoid(x); }
// d silu(x) / dx
fn silu_slope(x: T) -> T { let s = sigmoid(x); return s * (T(1.0) + x * (T(1.0) - s)); }
// SwiftShader's tanh is NaN for large arguments; beyond 10 it is 1 in f32 anyway.
fn tanh_safe(x: T) -> T { return tanh(clamp(x, T(-10.0), T(10.0))); }
// Abramowitz and Stegun 7.1.26 would err by 1.5e-7 absolute: enough for f32 activations.
fn erf(x: T) -> T {
  let t = T(1.0) / (T(1.0) + 0.3275911 * abs(x));
  let p = t * (T(0.254829592) + t * (T(-0.284496736) + t * (T(1.421413741) + t * (T(-1.453152027) + t * 1.061405429))));
  return sign(x) * (T(1.0) - p * exp(-x * x));
}
fn gelu(x: T) -> T { return 0.5 * x * (T(1.0) + erf(x * 0.70710678)); }
// d gelu(x) / dx = Phi(x) + x phi(x)
fn gelu_slope(x: T) -> T { return 0.5 * (T(1.0) + erf(x * 0.70710678)) + x * 0.39894228 * exp(-0.5 * x * x); }
// The tanh form of GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415)
fn gelu_tanh(x: T) -> T { return 0.5 * x * (T(1.0) + tanh_safe(0.79788456 * (x + 0.044715 * x * x * x))); }
fn gelu_tanh_slope(x: T) -> T {
  let t = tanh_safe(0.79788456 * (x + 0.044715 * x * x * x));
  return 0.5 * (T(1.0) + t) + 0.5 * x * (T(1.0) - t * t) * 0.79788456 * (T(1.0) + 0.134145 * x * x);
}
// log(1 + exp(x)); for very negative x log would lose exp(x) in 1 + exp(x).
fn softplus(x: T) -> T {
  let e = exp(-abs(x));
  return max(x, T(0.0)) + select(log(T(1.0) + e), e * (T(1.0) - 0.5 * e), e < T(1e-3));
}
