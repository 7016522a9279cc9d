// The K largest values of each row, largest first; a tie goes to the lower index and NaN counts as the smallest. A thread owns an
// element and counts those ahead of it: their number is its place, and with K of them it has none. Called by kernels/top-k.ts.
struct Params { rows: u32, width: u32, k: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;               // [rows, width]
@group(0) @binding(1) var<storage, read_write> values: array<f32>;    // [rows, k]
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;   // [rows, k]

// Orders like the values themselves: NaN 0, then from -infinity up; both zeros are one.
fn sort_key(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  return select(0x80000000u + magnitude, 0x80000000u - magnitude, bits != magnitude);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (group.y * groups.x + group.x) * 64u + lane;
  if (id >= params.rows * params.width) { return; }
  let row = id / params.width;
  let begin = row * params.width;
  let own = sort_key(x[id]);
  var ahead = 0u;
  for (var i = begin; i < begin + params.width && ahead < params.k; i++) {
    let key = sort_key(x[i]);
    ahead += select(0u, 1u, key > own || (key == own && i < id));
  }
  if (ahead < params.k) {
    values[row * params.k + ahead] = x[id];
    indices[row * params.k + ahead] = id - begin;
  }
}
