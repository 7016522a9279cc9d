// RMS and layer normalisation over the last axis, a workgroup a row. With r = 1 / sqrt(mean((x − c)²) + ε), where c is the row's mean
// (CENTRED) or 0, and z = (x − c) r: y = z w + b. Called by kernels/norm.ts, which picks one of:
//   FORWARD   y, and r (and c) for the backward pass
//   BACKWARD  dx = r (g − z mean(g z) − [CENTRED] mean(g)), with g = w dy
//   WEIGHT    partial sums over a chunk of rows of dy z (and of dy): a thread a column
struct Params { rows: u32, width: u32, epsilon: f32, has_weight: u32, has_bias: u32, chunk: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
#if FORWARD
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> row_stats: array<vec2f>; // [rows] of (c, r)
#else
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> row_stats: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // BACKWARD: dx; WEIGHT: [chunks, width] for w
#endif
#if WEIGHT
@group(0) @binding(5) var<storage, read_write> out_bias: array<f32>; // [chunks, width] for b
#endif

#if WEIGHT
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * 64u + lane;
  if (column >= params.width) { return; }
  var sum = 0.0;
  var sum_bias = 0.0;
  let begin = group.y * params.chunk;
  for (var row = begin; row < min(begin + params.chunk, params.rows); row++) {
    let at = row * params.width + column;
    let stats = row_stats[row];
    sum += dy[at] * (x[at] - stats.x) * stats.y;
    sum_bias += dy[at];
  }
  out[group.y * params.width + column] = sum;
  out_bias[group.y * params.width + column] = sum_bias;
}
#else
#include "row-sum"

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = min(group.y * groups.x + group.x, params.rows - 1u);
  let start = row * params.width;
  let n = f32(params.width);
#if FORWARD
  var centre = 0.0;
#if CENTRED
  var part = 0.0;
  for (var j = lane; j < params.width; j += LANES) { part += x[start + j]; }
  centre = row_sum(part, lane) / n;
#endif
  var squares = 0.0;
  for (var j = lane; j < params.width; j += LANES) {
    let d = x[start + j] - centre;
    squares += d * d;
  }
  let scale = 1.0 / sqrt(row_sum(squares, lane) / n + params.epsilon);
  for (var j = lane; j < params.width; j += LANES) {
    var value = (x[start + j] - centre) * scale;
    if (params.has_weight == 1u) { value *= weight[j]; }
    if (params.has_bias == 1u) { value += bias[j]; }
    y[start + j] = value;
  }
  if (lane == 0u) { row_stats[row] = vec2f(centre, scale); }
#else
  let stats = row_stats[row];
  var part_gz = 0.0;
  var part_g = 0.0;
  for (var j = lane; j < params.width; j += LANES) {
    let z = (x[start + j] - stats.x) * stats.y;
    var g = dy[start + j];
    if (params.has_weight == 1u) { g *= weight[j]; }
    part_gz += g * z;
    part_g += g;
  }
  let mean_gz = row_sum(part_gz, lane) / n;
#if CENTRED
  let mean_g = row_sum(part_g, lane) / n;
#else
  let mean_g = 0.0;
#endif
  for (var j = lane; j < params.width; j += LANES) {
    let z = (x[start + j] - stats.x) * stats.y;
    var g = dy[start + j];
    if (params.has_weight == 1u) { g *= weight[j]; }
    out[start + j] = stats.y * (g - z * mean_gz - mean_g);
  }
#endif
}
#endif
