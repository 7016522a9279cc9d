// For each chunk of each group of a parameter: Σ g², and a checksum of p's bits (FNV-1a over words: every change of one word
// shows). Called by kernels/ledger.ts, which adds up the chunks.
struct Params {
  entries: u32, // groups · chunks
  group_size: u32,
  chunk: u32,
  chunks: u32,  // of a group
  first: u32,   // entries of the parameters before
  has_gradient: u32,
}
@group(0) @binding(0) var<storage, read> parameter: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>; // anything where there is none
@group(0) @binding(2) var<storage, read_write> out: array<vec2u>; // bits of Σ g², checksum

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (group.y * groups.x + group.x) * 64u + lane;
  if (id >= params.entries) { return; }
  let start = id / params.chunks * params.group_size;
  let begin = id % params.chunks * params.chunk;
  let end = min(begin + params.chunk, params.group_size);
  var sum = 0.0;
  var checksum = 0x811c9dc5u;
  for (var i = start + begin; i < start + end; i++) {
    checksum = (checksum ^ bitcast<u32>(parameter[i])) * 0x01000193u;
    sum += gradient[i] * gradient[i];
  }
  out[params.first + id] = vec2u(select(0u, bitcast<u32>(sum), params.has_gradient == 1u), checksum);
}
