// out[i] = start, or start + i · step with RAMP. Scalars come as the bits of TYPE; a thread writes a quad with WIDE. Called by
// kernels/fill.ts.
struct Params { size: u32, start: u32, step: u32 } // size in elements of `out`
@group(0) @binding(0) var<storage, read_write> out: array<TYPE>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
#if RAMP
  out[i] = bitcast<TYPE>(params.start) + TYPE(i) * bitcast<TYPE>(params.step);
#else
  out[i] = TYPE(params.start);
#endif
}
