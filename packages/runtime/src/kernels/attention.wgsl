// Attention by online softmax: a thread owns one query (FORWARD, DQ) or one key (DKV) of one head, with its vectors in registers, and
// walks over the others, which all threads of a workgroup read alike. No matrix of T x S is stored. Called by kernels/attention.ts.
//   FORWARD  o = Σ_s p_s v_s with p = softmax(scale q·k) over the allowed keys; lse = log Σ exp(scale q·k)
//   DELTA    (lse, delta) with delta = Σ_d do_d o_d
//   DQ       dq = scale Σ_s p_s (do·v_s − delta) k_s, with p_s = exp(scale q·k_s − lse)
//   DKV      dv = Σ_t p_t do_t; dk = scale Σ_t p_t (do_t·v − delta_t) q_t, over the queries of all heads that share this key
// A query without an allowed key has lse = NO_KEYS, output 0 and gradient 0. QUADS is the head size in vec4, padded by the launcher.
struct Params {
  batch: u32, queries: u32, keys: u32,  // keys: those in use
  heads: u32, kv_heads: u32,
  key_capacity: u32,   // keys a sequence has room for in k and v
  query_offset: u32,   // position of the first query among the keys
  causal: u32,         // 1: a query sees keys up to its own position
  window: u32,         // how many of these, 0: all
  has_mask: u32,
  mask_stride: u32,    // keys a row of the mask has
  scale: f32,
}
const NO_KEYS = 1e30;
#if FORWARD
@group(0) @binding(0) var<storage, read> q_data: array<vec4f>;
@group(0) @binding(1) var<storage, read> k_data: array<vec4f>;
@group(0) @binding(2) var<storage, read> v_data: array<vec4f>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // [batch, queries, heads]
#endif
#if DELTA
@group(0) @binding(0) var<storage, read> out: array<vec4f>;
@group(0) @binding(1) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(2) var<storage, read> lse: array<f32>; // [batch, queries, heads]
@group(0) @binding(3) var<storage, read_write> lse_delta: array<vec2f>;
#endif
#if BACKWARD
@group(0) @binding(0) var<storage, read> q_data: array<vec4f>;
@group(0) @binding(1) var<storage, read> k_data: array<vec4f>;
@group(0) @binding(2) var<storage, read> v_data: array<vec4f>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(5) var<storage, read> lse_delta: array<vec2f>; // [batch, queries, heads]
@group(0) @binding(6) var<storage, read_write> d_first: array<vec4f>;  // dq, or dk
#if DKV
@group(0) @binding(7) var<storage, read_write> d_second: array<vec4f>; // dv
#endif
#endif

#if DELTA
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.batch * params.queries * params.heads) { return; }
  var sum = 0.0;
  for (var d = 0u; d < QUADS; d++) { sum += dot(out[row * QUADS + d], d_out[row * QUADS + d]); }
  lse_delta[row] = vec2f(lse[row], sum);
}
#else
// The keys that a query at `position` may see: begin .. end.
fn first_key(position: u32) -> u32 {
  return select(0u, position + 1u - min(params.window, position + 1u), params.causal == 1u && params.window > 0u);
}
fn last_key(position: u32) -> u32 { return select(params.keys, min(params.keys, position + 1u), params.causal == 1u); }

fn is_real(batch: u32, key: u32) -> bool { return params.has_mask == 0u || mask[batch * params.mask_stride + key] != 0.0; }

#if DKV
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let key = group.x * LANES + lane;
  let kv_head = group.y % params.kv_heads;
  let batch = group.y / params.kv_heads;
  let own = key < params.keys && is_real(batch, key);
  let row = ((batch * params.key_capacity + min(key, params.keys - 1u)) * params.kv_heads + kv_head) * QUADS;
  @repeat for (var d = 0; d < QUADS; d++) {
    let k$d = k_data[row + d];
    let v$d = v_data[row + d];
    var dk$d = vec4f();
    var dv$d = vec4f();
  }
  let shared_heads = params.heads / params.kv_heads;
  // The first query that sees a key of this workgroup, and the one after the last: the same for all its threads.
  let first_own = group.x * LANES;
  var begin = 0u;
  var end = params.queries;
  if (params.causal == 1u) {
    begin = first_own - min(first_own, params.query_offset);
    if (params.window > 0u) { end = min(end, first_own + LANES + params.window - min(first_own + LANES + params.window, params.query_offset)); }
  }
  for (var h = kv_head * shared_heads; h < (kv_head + 1u) * shared_heads; h++) {
    for (var t = begin; t < end; t++) {
      let query = (batch * params.queries + t) * params.heads + h;
      let position = params.query_offset + t;
      let stats = lse_delta[query];
      var score = 0.0;
      var slope = 0.0;
      @repeat for (var d = 0; d < QUADS; d++) {
        let q$d = q_data[query * QUADS + d];
        let g$d = d_out[query * QUADS + d];
        score += dot(q$d, k$d);
        slope += dot(g$d, v$d);
      }
      let seen = own && key >= first_key(position) && key < last_key(position) && stats.x < NO_KEYS;
      let p = select(0.0, exp(min(score * params.scale - stats.x, 0.0)), seen);
      let ds = p * (slope - stats.y) * params.scale;
      @unroll for (var d = 0; d < QUADS; d++) {
        dv$d = fma(vec4f(p), g$d, dv$d);
        dk$d = fma(vec4f(ds), q$d, dk$d);
      }
    }
  }
  if (key < params.keys) {
    @unroll for (var d = 0; d < QUADS; d++) {
      d_first[row + d] = dk$d;
      d_second[row + d] = dv$d;
    }
  }
}
#else
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x * LANES + lane;
  let head = group.y % params.heads;
  let batch = group.y / params.heads;
  let kv_head = head / (params.heads / params.kv_heads);
  let query = (batch * params.queries + min(t, params.queries - 1u)) * params.heads + head;
  let position = params.query_offset + min(t, params.queries - 1u);
  @repeat for (var d = 0; d < QUADS; d++) {
    let q$d = q_data[query * QUADS + d] * params.scale;
    var sum$d = vec4f();
  }
#if BACKWARD
  @repeat for (var d = 0; d < QUADS; d++) { let g$d = d_out[query * QUADS + d]; }
  let stats = lse_delta[query];
#else
  var high = -1e30;
  var total = 0.0;
#endif
  // What the queries of this workgroup see together: the same for all its threads.
  let first_position = params.query_offset + group.x * LANES;
  let end = last_key(first_position + LANES - 1u);
  for (var s = first_key(first_position); s < end; s++) {
    if (!is_real(batch, s)) { continue; }
    let row = ((batch * params.key_capacity + s) * params.kv_heads + kv_head) * QUADS;
    let seen = s >= first_key(position) && s < last_key(position);
    var score = 0.0;
#if BACKWARD
    var slope = 0.0;
    @repeat for (var d = 0; d < QUADS; d++) {
      let k$d = k_data[row + d];
      score += dot(q$d, k$d);
      slope += dot(g$d, v_data[row + d]);
    }
    let p = select(0.0, exp(min(score - stats.x, 0.0)), seen && stats.x < NO_KEYS);
    let ds = p * (slope - stats.y);
    @unroll for (var d = 0; d < QUADS; d++) { sum$d = fma(vec4f(ds), k$d, sum$d); }
#else
    @unroll for (var d = 0; d < QUADS; d++) { score += dot(q$d, k_data[row + d]); }
    score = select(-1e30, score, seen);
    let next = max(high, score);
    let shrink = exp(high - next);
    let p = select(0.0, exp(score - next), seen);
    total = total * shrink + p;
    @unroll for (var d = 0; d < QUADS; d++) { sum$d = fma(vec4f(p), v_data[row + d], sum$d * shrink); }
    high = next;
#endif
  }
  if (t >= params.queries) { return; }
#if BACKWARD
  @unroll for (var d = 0; d < QUADS; d++) { d_first[query * QUADS + d] = sum$d * params.scale; }
#else
  let inverse = select(0.0, 1.0 / total, total > 0.0);
  @unroll for (var d = 0; d < QUADS; d++) { out[query * QUADS + d] = sum$d * inverse; }
  lse[query] = select(NO_KEYS, high + log(total), total > 0.0);
#endif
}
#endif
#endif
