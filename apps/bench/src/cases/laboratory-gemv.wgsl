// y = x · B, one row of x: the laboratory's matrix-vector kernel on buffers, whose reading of B is the bandwidth that decoding is
// measured against. A lane owns QUADS quads of columns; x arrives by broadcast, LANES values at a time. N is a multiple of
// 4 · LANES · QUADS, K of LANES.
@group(0) @binding(0) var<storage, read> x: array<f32>; // [K]
@group(0) @binding(1) var<storage, read> b: array<vec4f>; // [K, N / 4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>; // [N / 4]

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * QUADS * LANES + lane;
  @repeat for (var j = 0; j < QUADS; j++) { var sum$j = vec4f(); }
  for (var k = 0u; k < K; k += LANES) {
    let own = x[k + lane];
    @unroll for (var t = 0; t < LANES; t++) {
#if SUBGROUPS
      let q = vec4f(subgroupBroadcast(own, t));
#else
      let q = vec4f(x[k + t]);
#endif
      @repeat for (var j = 0; j < QUADS; j++) { sum$j = fma(q, b[(k + t) * (N / 4u) + column + j * LANES], sum$j); }
    }
  }
  @repeat for (var j = 0; j < QUADS; j++) { y[column + j * LANES] = sum$j; }
}
