// Copies a block of up to five axes between two strided layouts: target[Σ i·target_strides] = source[Σ i·source_strides]. Serves
// transposes, slices, concatenation and padding. Called by kernels/copy.ts.
struct Params {
  size: u32, // elements of the block
  source_start: u32, target_start: u32,
  length0: u32, // of the outermost axis; the others in `lengths`
  source_stride0: u32, target_stride0: u32,
  lengths: vec4u,
  source_strides: vec4u,
  target_strides: vec4u,
}
@group(0) @binding(0) var<storage, read> source: array<u32>; // the bits of any dtype
@group(0) @binding(1) var<storage, read_write> target_data: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let l = params.lengths;
  let at = vec4u((i / (l.w * l.z * l.y)) % l.x, (i / (l.w * l.z)) % l.y, (i / l.w) % l.z, i % l.w);
  let outer = i / (l.w * l.z * l.y * l.x);
  let s = at * params.source_strides;
  let t = at * params.target_strides;
  target_data[params.target_start + outer * params.target_stride0 + t.x + t.y + t.z + t.w] =
    source[params.source_start + outer * params.source_stride0 + s.x + s.y + s.z + s.w];
}
