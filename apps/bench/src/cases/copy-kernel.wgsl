// target = source, QUADS quads a thread: what kernels that are bound by memory are measured against.
struct Params { quads: u32 }
@group(0) @binding(0) var<storage, read> source_data: array<vec4f>; // [quads]
@group(0) @binding(1) var<storage, read_write> target_data: array<vec4f>; // [quads]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = (group.y * groups.x + group.x) * 64u * QUADS + lane;
  @unroll for (var i = 0; i < QUADS; i++) {
    if (first + 64u * i < params.quads) { target_data[first + 64u * i] = source_data[first + 64u * i]; }
  }
}
