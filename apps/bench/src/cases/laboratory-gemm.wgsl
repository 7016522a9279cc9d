// C = A · B with A k-major: the kernels that won the laboratory on software adapters, and the reference that our GEMM is measured
// against there. One subgroup is one SIMD register: a lane owns two quads of columns, four rows a lane arrive by broadcast, sums stay
// in registers, nothing goes through workgroup memory. Sizes M, N, K are constants; M and N are multiples of the tile, K of STEP.
// Chosen from: STEP values of k an iteration, LOADS · 4 · LANES rows a tile, SUBGROUPS_A_GROUP tiles a workgroup.
@group(0) @binding(0) var<storage, read> a: array<vec4f>; // [K, M / 4]
@group(0) @binding(1) var<storage, read> b: array<vec4f>; // [K, N / 4]
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>; // [M, N / 4]

@compute @workgroup_size(LANES, SUBGROUPS_A_GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let lane = id.x;
  let row = (group.y * SUBGROUPS_A_GROUP + id.y) * LOADS * LANES; // in quads
  let column = group.x * 2u * LANES + lane; // in quads
  @repeat for (var g = 0; g < LOADS; g++) {
    @repeat for (var l = 0; l < LANES; l++) {
      @repeat for (var i = 0; i < 4; i++) {
        var left$g$i$l = vec4f();
        var right$g$i$l = vec4f();
      }
    }
  }
  for (var k = 0u; k < K; k += STEP) {
    @repeat for (var t = 0; t < STEP; t++) {
      @repeat for (var g = 0; g < LOADS; g++) { let a$g$t = a[(k + t) * (M / 4u) + row + g * LANES + lane]; }
      let left$t = b[(k + t) * (N / 4u) + column];
      let right$t = b[(k + t) * (N / 4u) + column + LANES];
    }
    @repeat for (var g = 0; g < LOADS; g++) {
      @repeat for (var l = 0; l < LANES; l++) {
        @repeat for (var i = 0; i < 4; i++) {
          @unroll for (var t = 0; t < STEP; t++) {
            let q = vec4f(subgroupBroadcast(a$g$t[i], l));
            left$g$i$l = fma(q, left$t, left$g$i$l);
            right$g$i$l = fma(q, right$t, right$g$i$l);
          }
        }
      }
    }
  }
  @repeat for (var g = 0; g < LOADS; g++) {
    @repeat for (var l = 0; l < LANES; l++) {
      @repeat for (var i = 0; i < 4; i++) {
        c[(4u * (row + g * LANES + l) + i) * (N / 4u) + column] = left$g$i$l;
        c[(4u * (row + g * LANES + l) + i) * (N / 4u) + column + LANES] = right$g$i$l;
      }
    }
  }
}
