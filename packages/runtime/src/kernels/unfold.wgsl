// out[b, t, h] = x[b, t + h], and 0 past the end: the next `width` values at each of `positions`. Called by kernels/unfold.ts.
struct Params { size: u32, length: u32, positions: u32, width: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;          // [batch, length]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;  // [batch, positions, width]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let row = i / params.width;
  let at = row % params.positions + i % params.width;
  out[i] = select(0.0, x[row / params.positions * params.length + at], at < params.length);
}
