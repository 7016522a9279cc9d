// stats[b, a, t] = (logsumexp, Σ_d dout · out): what both backward kernels need of a query row. Called by kernels/attention-backward.ts.
struct Params { rows: u32, queries: u32, heads: u32, dim: u32 } // rows = B · T · heads
@group(0) @binding(0) var<storage, read> out: array<f32>;  // [B, T, heads, D]
@group(0) @binding(1) var<storage, read> dout: array<f32>; // [B, T, heads, D]
@group(0) @binding(2) var<storage, read> logsumexp: array<f32>; // [B, heads, T]
@group(0) @binding(3) var<storage, read_write> stats: array<vec2f>; // [B, heads, T]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
  if (row >= params.rows) { return; }
  var sum = 0.0;
  for (var d = 0u; d < params.dim; d++) { sum = fma(out[row * params.dim + d], dout[row * params.dim + d], sum); }
  let head = row % params.heads;
  let t = row / params.heads % params.queries;
  let at = (row / params.heads / params.queries * params.heads + head) * params.queries + t;
  stats[at] = vec2f(logsumexp[at], sum);
}
