// With g scaled by the factor that clips it: m = β1 m + (1 − β1) g; v = β2 v + (1 − β2) g²;
// p −= rate · m / (sqrt(second · v) + ε) + decay · p. Nothing changes when the factor is 0. Called by kernels/adamw.ts.
struct Params {
  size: u32, // in T
  beta1: f32, beta2: f32,
  rate: f32,    // learning rate / (1 − β1^t)
  second: f32,  // 1 / (1 − β2^t)
  epsilon: f32,
  decay: f32,   // learning rate · weight decay
}
@group(0) @binding(0) var<storage, read> gradient: array<T>;
@group(0) @binding(1) var<storage, read> control: array<f32>; // norm, factor
@group(0) @binding(2) var<storage, read_write> parameter: array<T>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<T>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<T>;

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
