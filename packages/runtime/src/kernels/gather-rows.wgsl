// out[m] = x[indices[m]], zeros for an index that is no row: the bits of any dtype. A thread copies an Element: a quad where the
// rows' width is a multiple of four. Called by kernels/gather-rows.ts.
struct Params { count: u32, rows: u32, width: u32 } // width in Elements
#if WIDE
alias Element = vec4u;
#else
alias Element = u32;
#endif
@group(0) @binding(0) var<storage, read> x: array<Element>;          // [rows, width]
@group(0) @binding(1) var<storage, read> indices: array<u32>;        // [count]
@group(0) @binding(2) var<storage, read_write> out: array<Element>;  // [count, width]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.count * params.width) { return; }
  let row = indices[i / params.width];
  var element = Element();
  if (row < params.rows) { element = x[row * params.width + i % params.width]; }
  out[i] = element;
}
