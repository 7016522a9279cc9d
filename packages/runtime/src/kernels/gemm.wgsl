// C[m, n] (+)= scale * Σ_k A[m, k] · B[k, n] + bias[n]: dense, batched over z, or grouped by expert. Called by kernels/gemm.ts.
// A workgroup is LANES threads (one subgroup where there are any) and computes a tile of ROWS = LANE_ROWS · SPAN rows by 4·LANES columns;
// a lane owns four neighbouring columns and keeps all its sums in registers. No workgroup memory: on a software adapter a subgroup is one
// SIMD register and a barrier is dear. Rows of A reach all lanes by broadcast (SPAN = LANES), or are read by each lane where there are no
// subgroups, or only a few rows.
#include "gemm-common"
@group(0) @binding(0) var<storage, read> a_data: array<Load>;
#if GATHER
// Which row of A stands for row m.
@group(0) @binding(5) var<storage, read> source_row: array<u32>;
#endif

// Four values of A along k.
fn load_a(base: u32, q: u32) -> vec4f {
#if VEC
  return a_data[base / 4u + q];
#else
  let k = 4u * q;
  let at = base + k;
  return vec4f(a_data[at], select(0.0, a_data[at + 1u], k + 1u < params.k), select(0.0, a_data[at + 2u], k + 2u < params.k),
    select(0.0, a_data[at + 3u], k + 3u < params.k));
#endif
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = (workgroup.x * LANES + lane) * 4u;
  let tile = own_tile(workgroup.y, workgroups.y);
#if GROUPED
  if (tile.group == NONE) { return; }
  let b_base = tile.group * params.b_stride;
#else
  let b_base = workgroup.z * params.b_stride;
#endif
  let a_base = workgroup.z * params.a_stride;
  let c_base = workgroup.z * params.c_stride;
#if SUBGROUPS
  // Lane l reads rows l, l + LANES, …; row g·LANES + l is then broadcast from lane l.
  @repeat for (var g = 0; g < LANE_ROWS; g++) {
    var row$g = min(tile.first + g * LANES + lane, tile.end - 1u);
#if GATHER
    row$g = source_row[row$g];
#endif
    let start$g = a_base + row$g * params.k;
    @repeat for (var l = 0; l < SPAN; l++) {
      @repeat for (var v = 0; v < BANKS; v++) { var sum$v$g$l = vec4f(); }
    }
  }
#else
  @repeat for (var g = 0; g < LANE_ROWS; g++) {
    @repeat for (var l = 0; l < SPAN; l++) {
      var row$g$l = min(tile.first + g * SPAN + l, tile.end - 1u);
#if GATHER
      row$g$l = source_row[row$g$l];
#endif
      let start$g$l = a_base + row$g$l * params.k;
      @repeat for (var v = 0; v < BANKS; v++) { var sum$v$g$l = vec4f(); }
    }
  }
#endif
  for (var q = 0u; q < params.k_quads; q++) {
    @repeat for (var v = 0; v < BANKS; v++) {
#if OUT_MAJOR
      let t0$v = load_b$v(b_base, q, column);
      let t1$v = load_b$v(b_base, q, column + 1u);
      let t2$v = load_b$v(b_base, q, column + 2u);
      let t3$v = load_b$v(b_base, q, column + 3u);
      let b0$v = vec4f(t0$v.x, t1$v.x, t2$v.x, t3$v.x);
      let b1$v = vec4f(t0$v.y, t1$v.y, t2$v.y, t3$v.y);
      let b2$v = vec4f(t0$v.z, t1$v.z, t2$v.z, t3$v.z);
      let b3$v = vec4f(t0$v.w, t1$v.w, t2$v.w, t3$v.w);
#else
      let b0$v = load_b$v(b_base, 4u * q, column);
      let b1$v = load_b$v(b_base, 4u * q + 1u, column);
      let b2$v = load_b$v(b_base, 4u * q + 2u, column);
      let b3$v = load_b$v(b_base, 4u * q + 3u, column);
#endif
    }
    @unroll for (var g = 0; g < LANE_ROWS; g++) {
#if SUBGROUPS
      let own = load_a(start$g, q);
#endif
      @unroll for (var l = 0; l < SPAN; l++) {
#if SUBGROUPS
        let x = subgroupBroadcast(own.x, l);
        let y = subgroupBroadcast(own.y, l);
        let z = subgroupBroadcast(own.z, l);
        let w = subgroupBroadcast(own.w, l);
        @unroll for (var v = 0; v < BANKS; v++) {
          sum$v$g$l = fma(vec4f(w), b3$v, fma(vec4f(z), b2$v, fma(vec4f(y), b1$v, fma(vec4f(x), b0$v, sum$v$g$l))));
        }
#else
        let a = load_a(start$g$l, q);
        @unroll for (var v = 0; v < BANKS; v++) {
          sum$v$g$l = fma(vec4f(a.w), b3$v, fma(vec4f(a.z), b2$v, fma(vec4f(a.y), b1$v, fma(vec4f(a.x), b0$v, sum$v$g$l))));
        }
#endif
      }
    }
  }
  var sums: array<vec4f, ROWS>; // so that the code to store a row is compiled once
  @repeat for (var g = 0; g < LANE_ROWS; g++) {
#if DUAL
    @repeat for (var l = 0; l < SPAN; l++) { sums[g * SPAN + l] = gated(sum0$g$l, sum1$g$l); }
#else
    @repeat for (var l = 0; l < SPAN; l++) { sums[g * SPAN + l] = sum0$g$l; }
#endif
  }
  for (var r = 0u; r < min(ROWS, tile.end - tile.first); r++) { store(tile.first + r, column, tile.group, c_base, sums[r]); }
}
