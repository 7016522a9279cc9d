// average += rate · (x − average). Called by kernels/moving-average.ts.
struct Params {
  size: u32, // in T
  rate: f32, // 1 − decay
}
@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> average: array<T>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let before = average[i];
  average[i] = before + params.rate * (x[i] - before);
}
