// out[o, c, j] = the sum (or maximum) over the c-th chunk of the middle axis of x[outer, length, inner]. One thread an output, always
// in the same order. Called by kernels/reduce.ts; a long axis is reduced in two passes.
struct Params {
  outputs: u32, // outer * chunks * inner
  length: u32,  // of the reduced axis
  inner: u32,
  chunks: u32,
  chunk: u32,   // entries of the axis a chunk holds
  scale: f32,   // applied to the result
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (group.y * groups.x + group.x) * 64u + lane;
  if (id >= params.outputs) { return; }
  let j = id % params.inner;
  let c = (id / params.inner) % params.chunks;
  let o = id / (params.inner * params.chunks);
  let begin = c * params.chunk;
  let end = min(begin + params.chunk, params.length);
  var at = (o * params.length + begin) * params.inner + j;
#if MAX
  var result = -0x1.fffffep+127f;
  for (var k = begin; k < end; k++) { result = max(result, x[at]); at += params.inner; }
  out[id] = result;
#else
  var result = 0.0;
  for (var k = begin; k < end; k++) { result += x[at]; at += params.inner; }
  out[id] = result * params.scale;
#endif
}
