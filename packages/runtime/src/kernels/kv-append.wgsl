// Copies rows of keys and values between tensors of sequences: target[b, position + t, :] = source[origin(b), t, :] for t < length. Into a
// cache when positions are appended, out of it when its sequences change places. Called by kernels/kv-append.ts.
struct Params {
  size: u32,        // elements to copy, of keys and of values each
  length: u32,      // rows to copy of a sequence
  width: u32,       // elements of a row
  source_rows: u32, // of a sequence
  target_rows: u32,
  position: u32,
  positioned: u32,  // 1: position is numbers[0]
  indexed: u32,     // 1: origin(b) is numbers[b], else b
}
@group(0) @binding(0) var<storage, read> k: array<f32>;       // [batch, source_rows, width]
@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read> numbers: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys: array<f32>; // [batch, target_rows, width]
@group(0) @binding(4) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let t = i / params.width % params.length;
  let b = i / params.width / params.length;
  let column = i % params.width;
  var origin = b;
  if (params.indexed == 1u) { origin = min(numbers[b], params.size / params.width / params.length - 1u); }
  var row = params.position + t;
  if (params.positioned == 1u) { row = numbers[0] + t; }
  if (row >= params.target_rows) { return; } // the host cannot check a position that it does not know
  let source = (origin * params.source_rows + t) * params.width + column;
  let target_at = (b * params.target_rows + row) * params.width + column;
  keys[target_at] = k[source];
  values[target_at] = v[source];
}
