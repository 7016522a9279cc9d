// dv[s] = Σ_t p[t, s] dout[t] and dk[s] = scale Σ_t ds[t, s] q[t], with p and ds as in attention-dq.wgsl. Called by
// kernels/attention-backward.ts. The tiles are transposed: a lane owns four neighbouring keys, blocks of queries are broadcast. The
// query heads of a key/value head follow one another in one lane, so sums have one order.
#include "attention-common"
@group(0) @binding(4) var<storage, read> dout_data: array<Load>; // [B, T, heads, D]
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // [B, heads, T], see attention-delta.wgsl
@group(0) @binding(6) var<storage, read_write> dk: array<Load>; // as k
@group(0) @binding(7) var<storage, read_write> dv: array<Load>; // as v

#if VEC
fn load_dout(at: u32, d: u32) -> vec4f { return dout_data[at + d]; }
#else
fn load_dout(at: u32, d: u32) -> vec4f {
  let i = at + 4u * d;
  return clip(d, vec4f(dout_data[i], dout_data[i + 1u], dout_data[i + 2u], dout_data[i + 3u]));
}
#endif

fn accumulate(at: u32, d: u32, fresh: bool, sum_k: vec4f, sum_v: vec4f) {
#if VEC
  if (fresh) {
    dk[at + d] = sum_k;
    dv[at + d] = sum_v;
  } else {
    dk[at + d] += sum_k;
    dv[at + d] += sum_v;
  }
#else
  for (var j = 0u; j < 4u && 4u * d + j < params.dim; j++) {
    let i = at + 4u * d + j;
    if (fresh) {
      dk[i] = sum_k[j];
      dv[i] = sum_v[j];
    } else {
      dk[i] += sum_k[j];
      dv[i] += sum_v[j];
    }
  }
#endif
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  const BLOCK = GROUPS * WIDTH;
  let first = workgroup.x * 4u * LANES;
  let first_head = workgroup.y * params.group;
  let b = workgroup.z;
  let key = first + 4u * lane;
  let own_key = vec4i(i32(key)) + vec4i(0, 1, 2, 3);
  @repeat for (var i = 0; i < 4; i++) { let row$i = key_row(b, key + i, first_head); }
  let real = vec4<bool>(is_real(b, key, params.key_length), is_real(b, key + 1u, params.key_length),
    is_real(b, key + 2u, params.key_length), is_real(b, key + 3u, params.key_length));

  // Queries that see a key of this tile.
  let begin = u32(max(i32(first) - params.ahead - params.offset, 0)) / BLOCK * BLOCK;
  let end = u32(clamp(i32(first + 4u * LANES) + params.back - params.offset, 0, i32(params.queries)));
  var fresh = true;
  for (var head = first_head; head < first_head + params.group; head++) {
    let stats_row = (b * params.heads + head) * params.queries;
    for (var start = begin; start < end; start += BLOCK) {
      @repeat for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
        let query$g = query_row(b, start + g * WIDTH + lane, head);
        let stat$g = stats[stats_row + min(start + g * WIDTH + lane, params.queries - 1u)];
#endif
        @repeat for (var l = 0; l < WIDTH; l++) {
#if !SUBGROUPS
          let query$g$l = query_row(b, start + g * WIDTH + l, head);
#endif
          var s$g$l = vec4f();
          var dp$g$l = vec4f();
        }
      }
      for (var d = 0u; d < quads(); d++) {
        @repeat for (var i = 0; i < 4; i++) {
          let tk$i = load_k(row$i, d);
          let tv$i = load_v(row$i, d);
        }
        @repeat for (var i = 0; i < 4; i++) {
          let k$i = vec4f(tk0[i], tk1[i], tk2[i], tk3[i]);
          let v$i = vec4f(tv0[i], tv1[i], tv2[i], tv3[i]);
        }
        @unroll for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
          let own_q = load_q(query$g, d);
          let own_y = load_dout(query$g, d);
#endif
          @unroll for (var l = 0; l < WIDTH; l++) {
#if SUBGROUPS
            let q = subgroupBroadcast(own_q, l);
            let y = subgroupBroadcast(own_y, l);
#else
            let q = load_q(query$g$l, d);
            let y = load_dout(query$g$l, d);
#endif
            s$g$l = fma(vec4f(q.w), k3, fma(vec4f(q.z), k2, fma(vec4f(q.y), k1, fma(vec4f(q.x), k0, s$g$l))));
            dp$g$l = fma(vec4f(y.w), v3, fma(vec4f(y.z), v2, fma(vec4f(y.y), v1, fma(vec4f(y.x), v0, dp$g$l))));
          }
        }
      }
      @unroll for (var g = 0; g < GROUPS; g++) {
        @unroll for (var l = 0; l < WIDTH; l++) {
#if SUBGROUPS
          let stat = subgroupBroadcast(stat$g, l);
#else
          let stat = stats[stats_row + min(start + g * WIDTH + l, params.queries - 1u)];
#endif
          s$g$l = exp2(params.scale * s$g$l - stat.x);
          dp$g$l = s$g$l * (dp$g$l - stat.y);
        }
      }
      let position = i32(start) + params.offset;
      let inside = i32(first) >= position + i32(BLOCK) - 1 - params.back && i32(first + 4u * LANES) - 1 <= position + params.ahead &&
        first + 4u * LANES <= params.key_length && start + BLOCK <= params.queries;
      if (!inside || params.masked == 1u) {
        @unroll for (var g = 0; g < GROUPS; g++) {
          @unroll for (var l = 0; l < WIDTH; l++) {
            let query = start + g * WIDTH + l;
            let seen = vec4<bool>(query < params.queries) & real & in_reach(own_key, vec4i(i32(query) + params.offset));
            s$g$l = select(vec4f(), s$g$l, seen);
            dp$g$l = select(vec4f(), dp$g$l, seen); // what lies behind key_length may be NaN
          }
        }
      }
      for (var d = 0u; d < quads(); d++) {
        @repeat for (var i = 0; i < 4; i++) {
          var xk$i = vec4f();
          var xv$i = vec4f();
        }
        @unroll for (var g = 0; g < GROUPS; g++) {
#if SUBGROUPS
          let own_q = load_q(query$g, d);
          let own_y = load_dout(query$g, d);
#endif
          @unroll for (var l = 0; l < WIDTH; l++) {
#if SUBGROUPS
            let q = subgroupBroadcast(own_q, l);
            let y = subgroupBroadcast(own_y, l);
#else
            let q = load_q(query$g$l, d);
            let y = load_dout(query$g$l, d);
#endif
            @unroll for (var i = 0; i < 4; i++) {
              xk$i = fma(vec4f(q[i]), dp$g$l, xk$i);
              xv$i = fma(vec4f(y[i]), s$g$l, xv$i);
            }
          }
        }
        @unroll for (var i = 0; i < 4; i++) {
          if (key + i < params.keys) {
            let sum_k = (params.scale * LN2) * vec4f(xk0[i], xk1[i], xk2[i], xk3[i]);
            accumulate(row$i, d, fresh, sum_k, vec4f(xv0[i], xv1[i], xv2[i], xv3[i]));
          }
        }
      }
      fresh = false;
    }
  }
  if (fresh) {
    @unroll for (var i = 0; i < 4; i++) {
      if (key + i < params.keys) {
        for (var d = 0u; d < quads(); d++) { accumulate(row$i, d, true, vec4f(), vec4f()); }
      }
    }
  }
}
