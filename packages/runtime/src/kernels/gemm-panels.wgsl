// The same product from packed operands: A, and B where it is out-major, come as panels (kernels/panels.wgsl), so that a lane reads four
// rows, or four columns, of one k in one load. A tile is 4·LANES rows by 4·LANES·VECS columns, or the same columns of two B: a broadcast
// serves VECS quads, which is what makes this core faster than gemm.wgsl where packing is paid back. Called by kernels/gemm.ts.
#include "gemm-common"
@group(0) @binding(0) var<storage, read> a_data: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u, @builtin(local_invocation_index) lane: u32) {
#if DUAL
  let column = (workgroup.x * LANES + lane) * 4u;
#else
  let column = (workgroup.x * LANES * VECS + lane) * 4u;
#endif
  let tile = own_tile(workgroup.y, workgroups.y);
#if GROUPED
  if (tile.group == NONE) { return; }
  let matrix = tile.group;
#else
  let matrix = workgroup.z;
#endif
  let c_base = workgroup.z * params.c_stride;
  let depth = 4u * params.k_quads;
  let a_base = (workgroup.z * workgroups.y + workgroup.y) * depth * LANES + lane;
#if PACKED_B
  let panels = (params.n + 4u * LANES - 1u) / (4u * LANES);
  @repeat for (var v = 0; v < VECS; v++) {
#if DUAL
    let b_base$v = (matrix * panels + workgroup.x) * depth * LANES + lane;
#else
    let b_base$v = (matrix * panels + min(workgroup.x * VECS + v, panels - 1u)) * depth * LANES + lane;
#endif
  }
#else
  let b_base = matrix * params.b_stride;
#endif
  @repeat for (var l = 0; l < LANES; l++) {
    @repeat for (var c = 0; c < 4; c++) {
      @repeat for (var v = 0; v < VECS; v++) { var sum$v$c$l = vec4f(); }
    }
  }
  for (var k = 0u; k < params.k; k++) {
    @repeat for (var v = 0; v < VECS; v++) {
#if PACKED_B
#if DUAL
      let b$v = b_data$v[b_base$v + k * LANES];
#else
      let b$v = b_data0[b_base$v + k * LANES];
#endif
#else
#if DUAL
      let b$v = load_b$v(b_base, k, column);
#else
      let b$v = load_b0(b_base, k, column + v * 4u * LANES);
#endif
#endif
    }
    let own = a_data[a_base + k * LANES];
    @unroll for (var l = 0; l < LANES; l++) {
      let a = vec4f(subgroupBroadcast(own.x, l), subgroupBroadcast(own.y, l), subgroupBroadcast(own.z, l), subgroupBroadcast(own.w, l));
      @unroll for (var v = 0; v < VECS; v++) {
        sum$v0$l = fma(vec4f(a.x), b$v, sum$v0$l);
        sum$v1$l = fma(vec4f(a.y), b$v, sum$v1$l);
        sum$v2$l = fma(vec4f(a.z), b$v, sum$v2$l);
        sum$v3$l = fma(vec4f(a.w), b$v, sum$v3$l);
      }
    }
  }
#if DUAL
  var sums: array<vec4f, ROWS>;
  @repeat for (var l = 0; l < LANES; l++) {
    @repeat for (var c = 0; c < 4; c++) { sums[4u * l + c] = gated(sum0$c$l, sum1$c$l); }
  }
  for (var r = 0u; r < min(ROWS, tile.end - tile.first); r++) { store(tile.first + r, column, tile.group, c_base, sums[r]); }
#else
  @repeat for (var v = 0; v < VECS; v++) {
    var sums$v: array<vec4f, ROWS>; // so that the code to store a row is compiled once
    @repeat for (var l = 0; l < LANES; l++) {
      @repeat for (var c = 0; c < 4; c++) { sums$v[4u * l + c] = sum$v$c$l; }
    }
    for (var r = 0u; r < min(ROWS, tile.end - tile.first); r++) { store(tile.first + r, column + v * 4u * LANES, tile.group, c_base, sums$v[r]); }
  }
#endif
}
