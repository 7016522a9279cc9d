// out[i] = the same 32 bits everywhere. Called by kernels/fill.ts.
struct Params { size: u32, bits: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.size) { out[i] = params.bits; }
}
