// SCATTER  out[r, j] = Σ over k with indices[r, k] = j of x[r, k]; otherwise out[r, k] = x[r, indices[r, k]], 0 out of range. Called
// by kernels/take-along.ts.
struct Params { rows: u32, width: u32, count: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>; // [rows, count]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
#if SCATTER
  if (i >= params.rows * params.width) { return; }
  let row = i / params.width;
  let j = i % params.width;
  var sum = 0.0;
  for (var k = row * params.count; k < (row + 1u) * params.count; k++) { sum += select(0.0, x[k], indices[k] == j); }
  out[i] = sum;
#else
  if (i >= params.rows * params.count) { return; }
  let row = i / params.count;
  let j = indices[i];
  out[i] = select(0.0, x[row * params.width + min(j, params.width - 1u)], j < params.width);
#endif
}
