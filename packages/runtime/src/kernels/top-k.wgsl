// The K largest values of each row, largest first; a tie goes to the lower index and NaN counts as the smallest. A thread owns a row
// and keeps the chosen ones sorted in registers. Called by kernels/top-k.ts.
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;               // [rows, width]
@group(0) @binding(1) var<storage, read_write> values: array<f32>;    // [rows, K]
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;   // [rows, K]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  var best: array<f32, K>;
  var at: array<u32, K>;
  for (var k = 0u; k < K; k++) {
    best[k] = -0x1.fffffep+127f;
    at[k] = 0xffffffffu;
  }
  for (var i = 0u; i < params.width; i++) {
    var value = x[row * params.width + i];
    if ((bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u) { value = -0x1.fffffep+127f; }
    var index = i;
    // Each kept entry that is beaten moves one place down.
    for (var k = 0u; k < K; k++) {
      if (value > best[k] || at[k] == 0xffffffffu) {
        let value_before = best[k];
        let index_before = at[k];
        best[k] = value;
        at[k] = index;
        value = value_before;
        index = index_before;
        if (index == 0xffffffffu) { break; }
      }
    }
  }
  for (var k = 0u; k < K; k++) {
    values[row * K + k] = x[row * params.width + at[k]];
    indices[row * K + k] = at[k];
  }
}
