// dq[t] = scale Σ_s ds[t, s] k[s] with ds = p (dout[t] · v[s] − delta[t]), p = 2^(score − logsumexp). Called by
// kernels/attention-backward.ts. The tiles are those of attention.wgsl: a lane owns four queries, keys are broadcast.
#include "attention-common"
@group(0) @binding(4) var<storage, read> dout_data: array<Load>; // [B, T, heads, D]
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // [B, heads, T], see attention-delta.wgsl
@group(0) @binding(6) var<storage, read_write> dq: array<Load>; // [B, T, heads, D]

#if VEC
fn load_dout(at: u32, d: u32) -> vec4f { return dout_data[at + d]; }
#else
fn load_dout(at: u32, d: u32) -> vec4f {
  let i = at + 4u * d;
  return clip(d, vec4f(dout_data[i], dout_data[i + 1u], dout_data[i + 2u], dout_data[i + 3u]));
}
#endif

fn accumulate(at: u32, d: u32, fresh: bool, sum: vec4f) {
#if VEC
  if (fresh) { dq[at + d] = sum; } else { dq[at + d] += sum; }
#else
  for (var j = 0u; j < 4u && 4u * d + j < params.dim; j++) {
    let i = at + 4u * d + j;
    if (fresh) { dq[i] = sum[j]; } else { dq[i] += sum[j]; }
  }
#endif
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  const BLOCK = GROUPS * WIDTH;
  let first = (workgroups.x - 1u - workgroup.x) * 4u * LANES;
  let head = workgroup.y;
  let b = workgroup.z;
  let query = first + 4u * lane;
  let own_position = vec4i(i32(query) + params.offset) + vec4i(0, 1, 2, 3);
  let stats_row = (b * params.heads + head) * params.queries;
  @repeat for (var i = 0; i < 4; i++) {
    let row$i = query_row(b, query + i, head);
    let stat$i = stats[stats_row + min(query + i, params.queries - 1u)];
  }
  let logsumexp = vec4f(stat0.x, stat1.x, stat2.x, stat3.x);
  let delta = vec4f(stat0.y, stat1.y, stat2.y, stat3.y);

  let first_position = i32(first) + params.offset;
  let last_position = first_position + i32(4u * LANES) - 1;
  let begin = u32(max(first_position - params.back, 0)) / BLOCK * BLOCK;
  let end = u32(clamp(last_position + params.ahead + 1, 0, i32(params.key_length)));
  for (var start = begin; start < end; start += BLOCK) {
    @repeat for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
      let key$g = key_row(b, min(start + g * WIDTH + lane, params.key_length - 1u), head);
#endif
      @repeat for (var l = 0; l < WIDTH; l++) {
#if !SUBGROUPS
        let key$g$l = key_row(b, min(start + g * WIDTH + l, params.key_length - 1u), head);
#endif
        var s$g$l = vec4f();
        var dp$g$l = vec4f();
      }
    }
    for (var d = 0u; d < quads(); d++) {
      @repeat for (var i = 0; i < 4; i++) {
        let tq$i = load_q(row$i, d);
        let ty$i = load_dout(row$i, d);
      }
      @repeat for (var i = 0; i < 4; i++) {
        let q$i = vec4f(tq0[i], tq1[i], tq2[i], tq3[i]);
        let y$i = vec4f(ty0[i], ty1[i], ty2[i], ty3[i]);
      }
      @unroll for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
        let own_k = load_k(key$g, d);
        let own_v = load_v(key$g, d);
#endif
        @unroll for (var l = 0; l < WIDTH; l++) {
#if SUBGROUPS
          let k = subgroupBroadcast(own_k, l);
          let v = subgroupBroadcast(own_v, l);
#else
          let k = load_k(key$g$l, d);
          let v = load_v(key$g$l, d);
#endif
          s$g$l = fma(vec4f(k.w), q3, fma(vec4f(k.z), q2, fma(vec4f(k.y), q1, fma(vec4f(k.x), q0, s$g$l))));
          dp$g$l = fma(vec4f(v.w), y3, fma(vec4f(v.z), y2, fma(vec4f(v.y), y1, fma(vec4f(v.x), y0, dp$g$l))));
        }
      }
    }
    @unroll for (var g = 0; g < GROUPS; g++) {
      @unroll for (var l = 0; l < WIDTH; l++) { s$g$l = exp2(params.scale * s$g$l - logsumexp) * (dp$g$l - delta); }
    }
    let inside = i32(start) >= last_position - params.back && i32(start + BLOCK - 1u) <= first_position + params.ahead &&
      start + BLOCK <= params.key_length;
    if (!inside || params.masked == 1u) {
      @unroll for (var g = 0; g < GROUPS; g++) {
        @unroll for (var l = 0; l < WIDTH; l++) {
          let key = start + g * WIDTH + l;
          let seen = vec4<bool>(is_real(b, key, params.key_length)) & in_reach(vec4i(i32(key)), own_position);
          s$g$l = select(vec4f(), s$g$l, seen);
        }
      }
    }
    for (var d = 0u; d < quads(); d++) {
      var x0 = vec4f();
      var x1 = vec4f();
      var x2 = vec4f();
      var x3 = vec4f();
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
          x0 = fma(vec4f(k.x), s$g$l, x0);
          x1 = fma(vec4f(k.y), s$g$l, x1);
          x2 = fma(vec4f(k.z), s$g$l, x2);
          x3 = fma(vec4f(k.w), s$g$l, x3);
        }
      }
      @unroll for (var i = 0; i < 4; i++) {
        if (query + i < params.queries) {
          accumulate(row$i, d, start == begin, (params.scale * LN2) * vec4f(x0[i], x1[i], x2[i], x3[i]));
        }
      }
    }
  }
  if (begin >= end) {
    @unroll for (var i = 0; i < 4; i++) {
      if (query + i < params.queries) {
        for (var d = 0u; d < quads(); d++) { accumulate(row$i, d, true, vec4f()); }
      }
    }
  }
}
