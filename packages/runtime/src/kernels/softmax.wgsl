// Over the last axis, a workgroup a row. Called by kernels/softmax.ts, which picks one of:
//   SOFTMAX        y = exp(x − m) / Σ exp(x − m), m the row's maximum
//   LOG_SOFTMAX    y = x − m − log Σ exp(x − m)
//   LOG_SUM_EXP    y[row] = m + log Σ exp(x − m)
//   BACKWARD       dx = y · (dy − Σ y dy), the gradient of SOFTMAX
//   BACKWARD, LOG  dx = dy − exp(y) Σ dy, that of LOG_SOFTMAX
struct Params { rows: u32, width: u32 }

#include "row-sum"

#if BACKWARD
@group(0) @binding(0) var<storage, read> y: array<Load>; // [rows, width]
@group(0) @binding(1) var<storage, read> dy: array<Load>;
@group(0) @binding(2) var<storage, read_write> out: array<Load>;
#else
@group(0) @binding(0) var<storage, read> x: array<Load>; // [rows, width]
#if LOG_SUM_EXP
@group(0) @binding(1) var<storage, read_write> out: array<f32>; // [rows]
#else
@group(0) @binding(1) var<storage, read_write> out: array<Load>;
#endif
#endif

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Rows past the end repeat the last one, so that all threads of a workgroup do the same.
  let row = min(group.y * groups.x + group.x, params.rows - 1u);
  let start = row * (params.width / QUAD);
  let end = start + params.width / QUAD;
  var part = Load();
#if BACKWARD
  for (var i = start + lane; i < end; i += LANES) {
#if LOG
    part += dy[i];
#else
    part += y[i] * dy[i];
#endif
  }
  let total = row_sum(add_up(part), lane);
  for (var i = start + lane; i < end; i += LANES) {
#if LOG
    out[i] = dy[i] - exp(y[i]) * total;
#else
    out[i] = y[i] * (dy[i] - total);
#endif
  }
#else
  var high = Load(-0x1.fffffep+127f);
  for (var i = start + lane; i < end; i += LANES) { high = max(high, x[i]); }
  let m = row_max(highest(high), lane);
  for (var i = start + lane; i < end; i += LANES) { part += exp(x[i] - m); }
  let total = row_sum(add_up(part), lane);
#if SOFTMAX
  for (var i = start + lane; i < end; i += LANES) { out[i] = exp(x[i] - m) / total; }
#endif
#if LOG_SOFTMAX
  let log_total = log(total);
  for (var i = start + lane; i < end; i += LANES) { out[i] = x[i] - m - log_total; }
#endif
#if LOG_SUM_EXP
  if (lane == 0u) { out[row] = m + log(total); }
#endif
#endif
}
