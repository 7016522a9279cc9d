// Writes rows into a cache at a position of every sequence: cache[b, position + t, :] = x[b, t, :]. Called by kernels/kv-append.ts.
struct Params { size: u32, length: u32, width: u32, capacity: u32, position: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;              // [batch, length, width]
@group(0) @binding(1) var<storage, read_write> cache: array<f32>;    // [batch, capacity, width]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let row = i / params.width;
  let batch = row / params.length;
  let at = (batch * params.capacity + params.position + row % params.length) * params.width + i % params.width;
  cache[at] = x[i];
}
