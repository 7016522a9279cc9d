// out[i] = x[0] + … + x[i - 1], in chunks of CHUNK elements, one thread a chunk, one step a specialisation:
//   SUMS  sums[c] = Σ over chunk c
//   SCAN  out, with the chunks before summed up here while they are few, else scanned before
// Called by kernels/prefix-sum.ts.
struct Params {
  size: u32,
  chunks: u32,
  scanned: u32, // 1: before[c] = Σ over the chunks before c; 0: before[c] = Σ over chunk c
}
@group(0) @binding(0) var<storage, read> x: array<u32>;
#if SUMS
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;      // [chunks]
#else
@group(0) @binding(1) var<storage, read> before: array<u32>;          // [chunks]; not read for a single chunk
@group(0) @binding(2) var<storage, read_write> out: array<u32>;       // [size + 1]
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = (group.y * groups.x + group.x) * 64u + lane;
  if (c >= params.chunks) { return; }
  let begin = c * CHUNK;
  let end = min(begin + CHUNK, params.size);
  var sum = 0u;
#if SUMS
  for (var i = begin; i < end; i++) { sum += x[i]; }
  sums[c] = sum;
#else
  if (params.scanned == 1u) {
    sum = before[c];
  } else {
    for (var k = 0u; k < c; k++) { sum += before[k]; }
  }
  for (var i = begin; i < end; i++) {
    out[i] = sum;
    sum += x[i];
  }
  if (end == params.size) { out[end] = sum; }
#endif
}
