// The K largest values of each row, largest first; a tie goes to the lower index and NaN counts as the smallest. Called by
// kernels/top-k.ts, which picks one of:
//   FEW        a thread owns a row and keeps the K best in order in registers; with SOFTMAX the row is one of logits, whose
//              probabilities are chosen from, and written too; with NORMALIZE the chosen ones are divided by their sum
//   otherwise  the LANES threads of a subgroup share a row (a thread owns it where there are none) and look for the best K times
struct Params { rows: u32, width: u32, k: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;               // [rows, width]
@group(0) @binding(1) var<storage, read_write> values: array<f32>;    // [rows, k]
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;   // [rows, k]
#if SOFTMAX
@group(0) @binding(3) var<storage, read_write> probs: array<f32>;     // [rows, width]
#endif

const NONE = 0xffffffffu;

#include "sort-key"

fn is_ahead(key: u32, at: u32, other_key: u32, other_at: u32) -> bool {
  return key > other_key || (key == other_key && at < other_at);
}

#if FEW
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let begin = row * params.width;
  @repeat for (var k = 0u; k < K; k++) {
    var best$k = 0u;
    var at$k = NONE;
  }
#if SOFTMAX
  var high = -0x1.fffffep+127f;
  var nan = 0.0; // carried by hand: a division by NaN is 0 on some adapters
  for (var i = 0u; i < params.width; i++) {
    high = max(high, x[begin + i]);
    if (sort_key(x[begin + i]) == 0u) { nan = x[begin + i]; }
  }
  let has_nan = sort_key(nan) == 0u;
  var total = 0.0;
  for (var i = 0u; i < params.width; i++) { total += exp(x[begin + i] - high); }
#endif
  for (var i = 0u; i < params.width; i++) {
#if SOFTMAX
    let value = select(exp(x[begin + i] - high) / total, nan, has_nan);
    probs[begin + i] = value;
#else
    let value = x[begin + i];
#endif
    var key = sort_key(value);
    var at = i;
    // Whichever of the two is behind moves on to the next place.
    @unroll for (var k = 0u; k < K; k++) {
      let ahead = is_ahead(key, at, best$k, at$k);
      let key_behind = select(key, best$k, ahead);
      let at_behind = select(at, at$k, ahead);
      best$k = select(best$k, key, ahead);
      at$k = select(at$k, at, ahead);
      key = key_behind;
      at = at_behind;
    }
  }
#if NORMALIZE
  var chosen = 0.0;
  @unroll for (var k = 0u; k < K; k++) { chosen += probs[begin + at$k]; }
#else
  let chosen = 1.0;
#endif
  @unroll for (var k = 0u; k < K; k++) {
#if SOFTMAX
    values[row * K + k] = probs[begin + at$k] / chosen;
#else
    values[row * K + k] = x[begin + at$k];
#endif
    indices[row * K + k] = at$k;
  }
}
#else
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
#if SUBGROUPS
  let lane = thread;
  let row = min(group.y * groups.x + group.x, params.rows - 1u);
#else
  let lane = 0u;
  let row = min((group.y * groups.x + group.x) * WORKGROUP + thread, params.rows - 1u);
#endif
  let begin = row * params.width;
  var last = NONE; // key and place of the one found before: above all keys at first
  var last_at = 0u;
  for (var k = 0u; k < params.k; k++) {
    var best = 0u;
    var best_at = NONE;
    for (var i = lane; i < params.width; i += LANES) {
      let key = sort_key(x[begin + i]);
      if (is_ahead(last, last_at, key, i) && is_ahead(key, i, best, best_at)) {
        best = key;
        best_at = i;
      }
    }
#if SUBGROUPS
    last = subgroupMax(best);
    last_at = subgroupMin(select(NONE, best_at, best == last));
#else
    last = best;
    last_at = best_at;
#endif
    if (lane == 0u) {
      values[row * params.k + k] = x[begin + last_at];
      indices[row * params.k + k] = last_at;
    }
  }
}
#endif
