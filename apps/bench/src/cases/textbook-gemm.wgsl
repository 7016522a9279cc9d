// C = A · B with tiles of 64 x 64 in workgroup memory, 4 x 4 results a thread: what most WebGPU libraries ship, and the reference
// that our GEMM is measured against. Sizes are multiples of 64, k of 16.
struct Params { m: u32, n: u32, k: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>; // [m, k]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [k, n]
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
var<workgroup> tile_a: array<f32, 1024>; // [k, row]
var<workgroup> tile_b: array<f32, 1024>; // [k, column]

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) index: u32) {
  var sums: array<array<f32, 4>, 4>;
  for (var k0 = 0u; k0 < params.k; k0 += 16u) {
    for (var t = index; t < 1024u; t += 256u) {
      tile_a[(t % 16u) * 64u + t / 16u] = a[(group.y * 64u + t / 16u) * params.k + k0 + t % 16u];
      tile_b[t] = b[(k0 + t / 64u) * params.n + group.x * 64u + t % 64u];
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) { sums[i][j] += tile_a[k * 64u + id.y * 4u + i] * tile_b[k * 64u + id.x + 16u * j]; }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) { c[(group.y * 64u + id.y * 4u + i) * params.n + group.x * 64u + id.x + 16u * j] = sums[i][j]; }
  }
}
