// Cross-entropy of rows of logits with one target class each, a workgroup a row. With p = softmax(x), label smoothing s and V classes:
//   FORWARD   loss = w · (−(1 − s) log p[target] − s / V Σ log p), w the row's mask, or 0 where the target is to be ignored
//   BACKWARD  dx = scale · (p − (1 − s) onehot(target) − s / V), p from the row's maximum and sum
// A target that is no class and not ignored makes its row NaN. Called by kernels/cross-entropy.ts.
struct Params {
  rows: u32,
  width: u32,        // V
  ignore: u32,       // target that marks a row without a loss
  smoothing: f32,
  has_mask: u32,
}

#include "row-sum"

@group(0) @binding(0) var<storage, read> x: array<Load>;      // [rows, width]
@group(0) @binding(1) var<storage, read> targets: array<u32>; // [rows]
#if FORWARD
@group(0) @binding(2) var<storage, read> mask: array<f32>;    // [rows]
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> row_stats: array<vec2f>; // [rows] of (m, Σ exp(x − m)), m the maximum
#else
@group(0) @binding(2) var<storage, read> row_stats: array<vec2f>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;  // [rows], w times the gradient of the loss
@group(0) @binding(4) var<storage, read_write> dx: array<Load>; // [rows, width]
#endif

// An element of the Load that holds it, and a Load with 1 in its place.
#if WIDE
fn element(v: vec4f, at: u32) -> f32 { return v[at % 4u]; }
fn unit(at: u32) -> vec4f { return select(vec4f(), vec4f(1.0), vec4u(at % 4u) == vec4u(0u, 1u, 2u, 3u)); }
#else
fn element(v: f32, at: u32) -> f32 { return v; }
fn unit(at: u32) -> f32 { return 1.0; }
#endif

fn not_a_number() -> f32 {
  var bits = 0x7fc00000u; // as a constant it would not compile
  return bitcast<f32>(bits);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Rows past the end repeat the last one, so that all threads of a workgroup do the same.
  let row = min(group.y * groups.x + group.x, params.rows - 1u);
  let start = row * (params.width / QUAD);
  let end = start + params.width / QUAD;
  let label = targets[row];
  let is_class = label < params.width;
  let chosen = min(label, params.width - 1u);
#if FORWARD
  var high = Load(-0x1.fffffep+127f);
  for (var i = start + lane; i < end; i += LANES) { high = max(high, x[i]); }
  let m = row_max(highest(high), lane);
  var part = Load();
  var part_shifted = Load();
  for (var i = start + lane; i < end; i += LANES) {
    part += exp(x[i] - m);
    part_shifted += x[i] - m;
  }
  let total = row_sum(add_up(part), lane);
  let shifted = row_sum(add_up(part_shifted), lane);
  if (lane == 0u) {
    var weight = 1.0;
    if (params.has_mask == 1u) { weight = mask[row]; }
    if (label == params.ignore) { weight = 0.0; }
    var loss = log(total) - (1.0 - params.smoothing) * (element(x[start + chosen / QUAD], chosen) - m);
    if (params.smoothing > 0.0) { loss -= params.smoothing * shifted / f32(params.width); }
    if (!is_class) { loss = not_a_number(); }
    losses[row] = select(weight * loss, 0.0, weight == 0.0);
    weights[row] = weight;
    row_stats[row] = vec2f(m, total);
  }
#else
  var scale = scales[row];
  let counts = scale != 0.0;
  if (!is_class) { scale = not_a_number(); }
  let stats = row_stats[row];
  let share = params.smoothing / f32(params.width);
  for (var i = start + lane; i < end; i += LANES) {
    var slope = exp(x[i] - stats.x) / stats.y - share;
    if (i == start + chosen / QUAD) { slope -= (1.0 - params.smoothing) * unit(chosen); }
    dx[i] = select(Load(), scale * slope, counts);
  }
#endif
}
