// With g scaled by the factor that clips it: v = μ v + g; p −= rate · d + decay · p, where d is v, with NESTEROV g + μ v, and
// without MOMENTUM g. Nothing changes when the factor is 0. Called by kernels/sgd.ts.
struct Params {
  size: u32, // in T
  rate: f32,
  momentum: f32,
  decay: f32, // rate · weight decay
}
@group(0) @binding(0) var<storage, read> gradient: array<T>;
@group(0) @binding(1) var<storage, read> control: array<f32>; // norm, factor
@group(0) @binding(2) var<storage, read_write> parameter: array<T>;
#if MOMENTUM
@group(0) @binding(3) var<storage, read_write> velocity: array<T>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let factor = control[1];
  if (i >= params.size || factor == 0.0) { return; }
  var d = gradient[i] * factor;
#if MOMENTUM
  let v = params.momentum * velocity[i] + d;
  velocity[i] = v;
#if NESTEROV
  d += params.momentum * v;
#else
  d = v;
#endif
#endif
  let p = parameter[i];
  parameter[i] = p - params.rate * d - params.decay * p;
}
