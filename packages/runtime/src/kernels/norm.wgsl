// RMS and layer normalisation over the last axis, a workgroup a row. With r = 1 / sqrt(mean((x − c)²) + ε), where c is the row's mean
// (CENTRED) or 0, and z = (x − c) r: y = z w + b. Called by kernels/norm.ts, which picks one of:
//   FORWARD   y, and r (and c) for the backward pass
//   BACKWARD  dx = r (g − z mean(g z) − [CENTRED] mean(g)), with g = w dy
//   WEIGHT    partial sums over a chunk of rows of dy z (and of dy): a thread a column
struct Params { rows: u32, width: u32, epsilon: f32, has_weight: u32, has_bias: u32, chunk: u32 }

#include "row-sum"

@group(0) @binding(0) var<storage, read> x: array<Load>;      // [rows, width], as y, dy and dx
@group(0) @binding(1) var<storage, read> weight: array<Load>; // [width]
#if FORWARD
@group(0) @binding(2) var<storage, read> bias: array<Load>;   // [width]
@group(0) @binding(3) var<storage, read_write> y: array<Load>;
@group(0) @binding(4) var<storage, read_write> row_stats: array<vec2f>; // [rows] of (c, r)
#else
@group(0) @binding(2) var<storage, read> dy: array<Load>;
@group(0) @binding(3) var<storage, read> row_stats: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> out: array<Load>; // BACKWARD: dx; WEIGHT: [chunks, width] for w
#endif
#if WEIGHT
@group(0) @binding(5) var<storage, read_write> out_bias: array<Load>; // [chunks, width] for b

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let loads = params.width / QUAD;
  let column = group.x * 64u + lane;
  if (column >= loads) { return; }
  var sum = Load();
  var sum_bias = Load();
  let begin = group.y * params.chunk;
  for (var row = begin; row < min(begin + params.chunk, params.rows); row++) {
    let at = row * loads + column;
    let stats = row_stats[row];
    sum += dy[at] * (x[at] - stats.x) * stats.y;
    sum_bias += dy[at];
  }
  out[group.y * loads + column] = sum;
  out_bias[group.y * loads + column] = sum_bias;
}
#else
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Rows past the end repeat the last one, so that all threads of a workgroup do the same.
  let row = min(group.y * groups.x + group.x, params.rows - 1u);
  let loads = params.width / QUAD;
  let start = row * loads;
  let n = f32(params.width);
#if FORWARD
  var centre = 0.0;
#if CENTRED
  var part = Load();
  for (var j = lane; j < loads; j += LANES) { part += x[start + j]; }
  centre = row_sum(add_up(part), lane) / n;
#endif
  var squares = Load();
  for (var j = lane; j < loads; j += LANES) {
    let d = x[start + j] - centre;
    squares += d * d;
  }
  let scale = 1.0 / sqrt(row_sum(add_up(squares), lane) / n + params.epsilon);
  for (var j = lane; j < loads; j += LANES) {
    var value = (x[start + j] - centre) * scale;
    if (params.has_weight == 1u) { value *= weight[j]; }
    if (params.has_bias == 1u) { value += bias[j]; }
    y[start + j] = value;
  }
  if (lane == 0u) { row_stats[row] = vec2f(centre, scale); }
#else
  let stats = row_stats[row];
  var part_gz = Load();
  var part_g = Load();
  for (var j = lane; j < loads; j += LANES) {
    let z = (x[start + j] - stats.x) * stats.y;
    var g = dy[start + j];
    if (params.has_weight == 1u) { g *= weight[j]; }
    part_gz += g * z;
    part_g += g;
  }
  let mean_gz = row_sum(add_up(part_gz), lane) / n;
#if CENTRED
  let mean_g = row_sum(add_up(part_g), lane) / n;
#else
  let mean_g = 0.0;
#endif
  for (var j = lane; j < loads; j += LANES) {
    let z = (x[start + j] - stats.x) * stats.y;
    var g = dy[start + j];
    if (params.has_weight == 1u) { g *= weight[j]; }
    out[start + j] = stats.y * (g - z * mean_gz - mean_g);
  }
#endif
}
#endif
