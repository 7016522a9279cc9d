// out[b, t, a] = Σ_s softmax_s(scale · q[b, t, a] · k[b, s, a / group]) v[b, s, a / group] and the logsumexp of the scores, by online
// softmax: no T x S matrix exists. Called by kernels/attention.ts. A lane owns four neighbouring queries, one in each component of a
// vec4; keys come in blocks of GROUPS · WIDTH, whose scores stay in registers. Both products then have the shape of the GEMM kernel:
// lane l reads row l of the block and broadcasts it. The output is accumulated in its own memory, so that no register depends on D.
#include "attention-common"
@group(0) @binding(4) var<storage, read> position: array<u32>; // [1], of query 0, when params.positioned
@group(0) @binding(5) var<storage, read_write> out: array<Load>; // [B, T, heads, D]
@group(0) @binding(6) var<storage, read_write> logsumexp: array<f32>; // [B, heads, T], base 2

// Adds to four values of a row of out, faded; the row's first block finds garbage there.
fn accumulate(at: u32, d: u32, fresh: bool, fade: f32, sum: vec4f) {
#if VEC
  if (fresh) { out[at + d] = sum; } else { out[at + d] = fma(vec4f(fade), out[at + d], sum); }
#else
  for (var j = 0u; j < 4u && 4u * d + j < params.dim; j++) {
    let i = at + 4u * d + j;
    if (fresh) { out[i] = sum[j]; } else { out[i] = fma(fade, out[i], sum[j]); }
  }
#endif
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  const BLOCK = GROUPS * WIDTH;
  let first = (workgroups.x - 1u - workgroup.x) * 4u * LANES; // under a causal mask the last tiles take longest: they start first
  let head = workgroup.y;
  let b = workgroup.z;
  let positioned = params.positioned == 1u;
  let offset = params.offset + select(0, i32(position[0]), positioned);
  let key_length = select(params.key_length, min(position[0] + params.queries, params.keys), positioned);
  let query = first + 4u * lane;
  let own_position = vec4i(i32(query) + offset) + vec4i(0, 1, 2, 3);
  @repeat for (var i = 0; i < 4; i++) { let row$i = query_row(b, query + i, head); }

  let first_position = i32(first) + offset;
  let last_position = first_position + i32(4u * LANES) - 1;
  let begin = u32(max(first_position - params.back, 0)) / BLOCK * BLOCK;
  let end = u32(clamp(last_position + params.ahead + 1, 0, i32(key_length)));
  var top = vec4f(HIDDEN);
  var total = vec4f();
  for (var start = begin; start < end; start += BLOCK) {
    @repeat for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
      let key$g = key_row(b, min(start + g * WIDTH + lane, key_length - 1u), head);
#endif
      @repeat for (var l = 0; l < WIDTH; l++) {
#if !SUBGROUPS
        let key$g$l = key_row(b, min(start + g * WIDTH + l, key_length - 1u), head);
#endif
        var s$g$l = vec4f();
      }
    }
    for (var d = 0u; d < quads(); d++) {
      let t0 = load_q(row0, d);
      let t1 = load_q(row1, d);
      let t2 = load_q(row2, d);
      let t3 = load_q(row3, d);
      let q0 = vec4f(t0.x, t1.x, t2.x, t3.x);
      let q1 = vec4f(t0.y, t1.y, t2.y, t3.y);
      let q2 = vec4f(t0.z, t1.z, t2.z, t3.z);
      let q3 = vec4f(t0.w, t1.w, t2.w, t3.w);
      @unroll for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
        let own = load_k(key$g, d);
#endif
        @unroll for (var l = 0; l < WIDTH; l++) {
#if SUBGROUPS
          let k = subgroupBroadcast(own, l);
#else
          let k = load_k(key$g$l, d);
#endif
          s$g$l = fma(vec4f(k.w), q3, fma(vec4f(k.z), q2, fma(vec4f(k.y), q1, fma(vec4f(k.x), q0, s$g$l))));
        }
      }
    }
    @unroll for (var g = 0; g < GROUPS; g++) { @unroll for (var l = 0; l < WIDTH; l++) { s$g$l *= params.scale; } }
    let inside = i32(start) >= last_position - params.back && i32(start + BLOCK - 1u) <= first_position + params.ahead &&
      start + BLOCK <= key_length;
    if (!inside || params.masked == 1u) {
      @unroll for (var g = 0; g < GROUPS; g++) {
        @unroll for (var l = 0; l < WIDTH; l++) {
          let key = start + g * WIDTH + l;
          let seen = vec4<bool>(is_real(b, key, key_length)) & in_reach(vec4i(i32(key)), own_position);
          s$g$l = select(vec4f(HIDDEN), s$g$l, seen);
        }
      }
    }
    let before = top;
    @unroll for (var g = 0; g < GROUPS; g++) { @unroll for (var l = 0; l < WIDTH; l++) { top = max(top, s$g$l); } }
    let base = max(top, vec4f(0.1 * HIDDEN)); // while a row has seen no key, its weights must vanish nevertheless
    let fade = exp2(before - base);
    total *= fade;
    @unroll for (var g = 0; g < GROUPS; g++) {
      @unroll for (var l = 0; l < WIDTH; l++) {
        s$g$l = exp2(s$g$l - base);
        total += s$g$l;
      }
    }
    for (var d = 0u; d < quads(); d++) {
      var y0 = vec4f();
      var y1 = vec4f();
      var y2 = vec4f();
      var y3 = vec4f();
      @unroll for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
        let own = load_v(key$g, d);
#endif
        @unroll for (var l = 0; l < WIDTH; l++) {
#if SUBGROUPS
          let v = subgroupBroadcast(own, l);
#else
          let v = load_v(key$g$l, d);
#endif
          y0 = fma(vec4f(v.x), s$g$l, y0);
          y1 = fma(vec4f(v.y), s$g$l, y1);
          y2 = fma(vec4f(v.z), s$g$l, y2);
          y3 = fma(vec4f(v.w), s$g$l, y3);
        }
      }
      @unroll for (var i = 0; i < 4; i++) {
        if (query + i < params.queries) {
          accumulate(row$i, d, start == begin, fade[i], vec4f(y0[i], y1[i], y2[i], y3[i]));
        }
      }
    }
  }
  let seen = top > vec4f(0.1 * HIDDEN);
  let inverse = select(vec4f(), 1.0 / total, seen);
  let result = select(vec4f(NO_KEYS), top + log2(total), seen);
  @unroll for (var i = 0; i < 4; i++) {
    if (query + i < params.queries) {
      for (var d = 0u; d < quads(); d++) { accumulate(row$i, d, !seen[i], inverse[i], vec4f()); }
      logsumexp[(b * params.heads + head) * params.queries + query + i] = result[i];
    }
  }
}
