// The norm of all gradients together, in steps and always in the same order. Called by kernels/gradient-norm.ts, which picks one of:
//   SQUARES  partial_sums[first + c] = Σ over the c-th chunk of g²
//   CONTROL  control = (‖g‖, factor): the factor that clips the norm, or 0 when the norm is not finite
struct Params {
  size: u32,    // of the gradient, in T
  first: u32,   // chunks of the gradients before
  chunk: u32,   // of T
  limit: f32,   // largest norm; 0: no limit
}
#if SQUARES
@group(0) @binding(0) var<storage, read> gradient: array<T>;
@group(0) @binding(1) var<storage, read_write> partial_sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = (group.y * groups.x + group.x) * 64u + lane;
  let begin = c * params.chunk;
  if (begin >= params.size) { return; }
  var sum = T(0.0);
  for (var i = begin; i < min(begin + params.chunk, params.size); i++) { sum += gradient[i] * gradient[i]; }
#if WIDE
  partial_sums[params.first + c] = (sum.x + sum.y) + (sum.z + sum.w);
#else
  partial_sums[params.first + c] = sum;
#endif
}
#else
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
