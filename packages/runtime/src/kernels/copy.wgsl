// Copies a block of up to five axes between two strided layouts: target[Σ i·target_strides] = source[Σ i·source_strides], the bits of
// any dtype. Serves transposes, slices, concatenation and padding. A thread copies an Element: a quad where both layouts allow it.
// Lengths, strides and starts count Elements. Called by kernels/copy.ts.
struct Params {
  size: u32, // of the block
  source_start: u32, target_start: u32,
  source_stride0: u32, target_stride0: u32, // of the outermost axis; the others follow
  lengths: vec4u,
  source_strides: vec4u,
  target_strides: vec4u,
}
#if WIDE
alias Element = vec4u;
#else
alias Element = u32;
#endif
@group(0) @binding(0) var<storage, read> source: array<Element>;
@group(0) @binding(1) var<storage, read_write> target_data: array<Element>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let l = params.lengths;
  let z = i / l.w; // divisions are dear: one an axis
  let y = z / l.z;
  let x = y / l.y;
  let outer = x / l.x;
  let at = vec4u(x - outer * l.x, y - x * l.y, z - y * l.z, i - z * l.w);
  let s = at * params.source_strides;
  let t = at * params.target_strides;
  target_data[params.target_start + outer * params.target_stride0 + t.x + t.y + t.z + t.w] =
    source[params.source_start + outer * params.source_stride0 + s.x + s.y + s.z + s.w];
}
