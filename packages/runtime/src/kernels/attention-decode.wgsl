// Attention for few queries and many keys (decoding): the same result as attention.wgsl. Called by kernels/attention.ts. A workgroup
// takes one query of one head; its lanes share the keys of a chunk for the scores, and the columns of the output (times `shares`
// parts of the chunk, when there are more lanes than columns) for the weighted sum.
#include "attention-common"
@group(0) @binding(4) var<storage, read> position: array<u32>; // [1], of query 0, when params.positioned
@group(0) @binding(5) var<storage, read_write> out: array<Load>; // [B, T, heads, D]
@group(0) @binding(6) var<storage, read_write> logsumexp: array<f32>; // [B, heads, T], base 2

const CHUNK = 512u;
const MAX_QUADS = 64u; // of a head: D <= 256

var<workgroup> weights: array<f32, CHUNK>;
var<workgroup> lane_values: array<f32, LANES>;
var<workgroup> sums: array<vec4f, max(LANES, MAX_QUADS)>; // [shares, quads]

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = workgroup.y;
  let b = workgroup.z;
  let positioned = params.positioned == 1u;
  let offset = params.offset + select(0, i32(position[0]), positioned);
  let key_length = select(params.key_length, min(position[0] + params.queries, params.keys), positioned);
  let own_position = i32(workgroup.x) + offset;
  let row = query_row(b, workgroup.x, head);
  let shares = max(LANES / quads(), 1u);
  let items = shares * quads();
  for (var item = lane; item < items; item += LANES) { sums[item] = vec4f(); }

  let begin = u32(max(own_position - params.back, 0));
  let end = u32(clamp(own_position + params.ahead + 1, 0, i32(key_length)));
  var top = HIDDEN;
  var total = 0.0;
  for (var start = begin; start < end; start += CHUNK) {
    let count = min(CHUNK, end - start);
    var peak = HIDDEN;
    for (var n = lane; n < count; n += 4u * LANES) { // four keys at a time, so that q is read once for them
      @repeat for (var i = 0; i < 4; i++) {
        let key$i = start + min(n + i * LANES, count - 1u);
        let row$i = key_row(b, key$i, head);
        var s$i = 0.0;
      }
      for (var d = 0u; d < quads(); d++) {
        let q = load_q(row, d);
        @unroll for (var i = 0; i < 4; i++) { s$i += dot(q, load_k(row$i, d)); }
      }
      @unroll for (var i = 0; i < 4; i++) {
        if (n + i * LANES < count) {
          s$i = select(HIDDEN, params.scale * s$i, is_real(b, key$i, key_length));
          weights[n + i * LANES] = s$i;
          peak = max(peak, s$i);
        }
      }
    }
    lane_values[lane] = peak;
    workgroupBarrier();
    let before = top;
    for (var l = 0u; l < LANES; l++) { top = max(top, lane_values[l]); }
    let base = max(top, 0.1 * HIDDEN);
    let fade = exp2(before - base);
    workgroupBarrier();
    var part = 0.0;
    for (var n = lane; n < count; n += LANES) {
      let weight = exp2(weights[n] - base);
      weights[n] = weight;
      part += weight;
    }
    lane_values[lane] = part;
    workgroupBarrier();
    total *= fade;
    for (var l = 0u; l < LANES; l++) { total += lane_values[l]; }
    for (var item = lane; item < items; item += LANES) {
      var sum = fade * sums[item];
      for (var n = item / quads(); n < count; n += shares) {
        sum = fma(vec4f(weights[n]), load_v(key_row(b, start + n, head), item % quads()), sum);
      }
      sums[item] = sum;
    }
    workgroupBarrier();
  }
  workgroupBarrier();
  let seen = top > 0.1 * HIDDEN;
  let inverse = select(0.0, 1.0 / total, seen);
  for (var d = lane; d < quads(); d += LANES) {
    var sum = vec4f();
    for (var share = 0u; share < shares; share++) { sum += sums[share * quads() + d]; }
    sum *= inverse;
#if VEC
    out[row + d] = sum;
#else
    for (var j = 0u; j < 4u && 4u * d + j < params.dim; j++) { out[row + 4u * d + j] = sum[j]; }
#endif
  }
  if (lane == 0u) {
    logsumexp[(b * params.heads + head) * params.queries + workgroup.x] = select(NO_KEYS, top + log2(total), seen);
  }
}
