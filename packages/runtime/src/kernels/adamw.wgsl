// AdamW, in steps. Called by kernels/adamw.ts, which picks one of:
//   SQUARES  partial[first + c] = Σ over the c-th chunk of g²
//   CONTROL  control = (‖g‖, factor): the factor that clips the norm, or 0 when the norm is not finite
//   UPDATE   with g scaled by the factor: m = β1 m + (1 − β1) g; v = β2 v + (1 − β2) g²; p −= rate (m / c1) / (sqrt(v / c2) + ε) + decay p;
//            nothing changes when the factor is 0
struct Params {
  size: u32,
  first: u32,
  chunk: u32,
  limit: f32,   // largest norm; 0: no limit
  beta1: f32, beta2: f32,
  rate: f32,        // learning rate / (1 − β1^t)
  second: f32,      // 1 / (1 − β2^t)
  epsilon: f32,
  decay: f32,       // learning rate · weight decay
}
#if SQUARES
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> partial_sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = (group.y * groups.x + group.x) * 64u + lane;
  let begin = c * params.chunk;
  if (begin >= params.size) { return; }
  var sum = 0.0;
  for (var i = begin; i < min(begin + params.chunk, params.size); i++) { sum += gradient[i] * gradient[i]; }
  partial_sums[params.first + c] = sum;
}
#endif
#if CONTROL
@group(0) @binding(0) var<storage, read> squares: array<f32>;
@group(0) @binding(1) var<storage, read_write> control: array<f32>;

@compute @workgroup_size(1)
fn main() {
  let norm = sqrt(squares[0]);
  let finite = (bitcast<u32>(squares[0]) & 0x7f800000u) != 0x7f800000u;
  let clipped = select(1.0, min(1.0, params.limit / max(norm, 1e-12)), params.limit > 0.0);
  control[0] = norm;
  control[1] = select(0.0, clipped, finite);
}
#endif
#if UPDATE
@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> control: array<f32>;
@group(0) @binding(2) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let factor = control[1];
  if (i >= params.size || factor == 0.0) { return; }
  let g = gradient[i] * factor;
  let m = params.beta1 * first_moment[i] + (1.0 - params.beta1) * g;
  let v = params.beta2 * second_moment[i] + (1.0 - params.beta2) * g * g;
  first_moment[i] = m;
  second_moment[i] = v;
  let p = parameter[i];
  parameter[i] = p - params.rate * m / (sqrt(v * params.second) + params.epsilon) - params.decay * p;
}
#endif
