// Rows, then columns over their sums, again and again, in logarithms: u_i = ln Σ_j exp(L_ij − v_j), v_j = ln Σ_i exp(L_ij − u_i),
// P = exp(L − u − v). A workgroup a matrix; a thread owns every LANES-th row and column. Called by kernels/sinkhorn.ts, forward or
// BACKWARD: the recursion walked from its end, with the u and v of each iteration as the forward pass left them.
struct Params { n: u32, iterations: u32 }
#if BACKWARD
@group(0) @binding(0) var<storage, read> logits: array<f32>;          // [m, n, n]
@group(0) @binding(1) var<storage, read> history: array<f32>;         // [m, iterations, 2, n] u and v
@group(0) @binding(2) var<storage, read> dp: array<f32>;              // [m, n, n]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;       // [m, n, n] the gradient of the logits
#else
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> history: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;       // [m, n, n] P
#endif

var<workgroup> row_term: array<f32, SIZE>;    // u; backward its gradient
var<workgroup> column_term: array<f32, SIZE>; // v; backward its gradient

fn meet() {
  workgroupBarrier();
  storageBarrier();
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = params.n;
  let base = group.x * n * n;
  let past = group.x * params.iterations * 2u * n;
#if BACKWARD
  // G = dP ∘ P goes to the logits as it is, and with its sign turned to the last u and v.
  let last = past + (params.iterations - 1u) * 2u * n;
  for (var i = lane; i < n; i += LANES) {
    var total = 0.0;
    for (var j = 0u; j < n; j++) {
      let at = base + i * n + j;
      let g = dp[at] * exp(logits[at] - history[last + i] - history[last + n + j]);
      out[at] = g;
      total += g;
    }
    row_term[i] = -total;
  }
  meet();
  for (var j = lane; j < n; j += LANES) {
    var total = 0.0;
    for (var i = 0u; i < n; i++) { total += out[base + i * n + j]; }
    column_term[j] = -total;
  }
  meet();
  for (var back = 0u; back < params.iterations; back++) {
    let t = params.iterations - 1u - back;
    let now = past + t * 2u * n;
    // v_j = ln Σ_i exp(L_ij − u_i): shares A_ij = exp(L_ij − u_i − v_j)
    for (var j = lane; j < n; j += LANES) {
      for (var i = 0u; i < n; i++) {
        let at = base + i * n + j;
        out[at] += column_term[j] * exp(logits[at] - history[now + i] - history[now + n + j]);
      }
    }
    meet();
    for (var i = lane; i < n; i += LANES) {
      for (var j = 0u; j < n; j++) {
        let share = exp(logits[base + i * n + j] - history[now + i] - history[now + n + j]);
        row_term[i] -= column_term[j] * share;
      }
    }
    meet();
    // u_i = ln Σ_j exp(L_ij − v'_j), v' of the iteration before, 0 at first: shares B_ij = exp(L_ij − v'_j − u_i)
    for (var i = lane; i < n; i += LANES) {
      for (var j = 0u; j < n; j++) {
        let at = base + i * n + j;
        var before = 0.0;
        if (t > 0u) { before = history[now - n + j]; }
        out[at] += row_term[i] * exp(logits[at] - before - history[now + i]);
      }
    }
    meet();
    for (var j = lane; j < n; j += LANES) {
      var total = 0.0;
      for (var i = 0u; i < n; i++) {
        var before = 0.0;
        if (t > 0u) { before = history[now - n + j]; }
        total -= row_term[i] * exp(logits[base + i * n + j] - before - history[now + i]);
      }
      column_term[j] = total;
    }
    meet();
    for (var i = lane; i < n; i += LANES) { row_term[i] = 0.0; }
    meet();
  }
#else
  for (var j = lane; j < n; j += LANES) { column_term[j] = 0.0; }
  workgroupBarrier();
  for (var t = 0u; t < params.iterations; t++) {
    let now = past + t * 2u * n;
    for (var i = lane; i < n; i += LANES) {
      var high = -0x1.fffffep+127f;
      for (var j = 0u; j < n; j++) { high = max(high, logits[base + i * n + j] - column_term[j]); }
      var total = 0.0;
      for (var j = 0u; j < n; j++) { total += exp(logits[base + i * n + j] - column_term[j] - high); }
      row_term[i] = high + log(total);
      history[now + i] = row_term[i];
    }
    workgroupBarrier();
    for (var j = lane; j < n; j += LANES) {
      var high = -0x1.fffffep+127f;
      for (var i = 0u; i < n; i++) { high = max(high, logits[base + i * n + j] - row_term[i]); }
      var total = 0.0;
      for (var i = 0u; i < n; i++) { total += exp(logits[base + i * n + j] - row_term[i] - high); }
      column_term[j] = high + log(total);
      history[now + n + j] = column_term[j];
    }
    workgroupBarrier();
  }
  for (var i = lane; i < n; i += LANES) {
    for (var j = 0u; j < n; j++) {
      let at = base + i * n + j;
      out[at] = exp(logits[at] - column_term[j] - row_term[i]);
    }
  }
#endif
}
