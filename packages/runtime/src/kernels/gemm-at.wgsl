// C[g, m, n] = Σ A[k, m] · B[k, n] over the rows k of group g (all rows where there are no groups): the gradient of a weight. Called
// by kernels/gemm-transposed.ts. The sums run in row order, so that a gradient is the same in every run; an empty group writes
// zeros. A tile is ROWS = 4·LANES rows by 4·LANES·VECS columns; a lane reads four neighbouring m and VECS quads of n of each k.
struct Params {
  m: u32, n: u32, k: u32,
  a_stride: u32, b_stride: u32, // from one matrix of a batch to the next, in elements
  accumulate: u32, // 1: add to what C holds
}
#if VEC
alias Load = vec4f; // m and n are multiples of 4
#else
alias Load = f32;
#endif
@group(0) @binding(0) var<storage, read> a_data: array<Load>;
@group(0) @binding(1) var<storage, read> b_data: array<Load>;
@group(0) @binding(2) var<storage, read_write> c_data: array<Load>;
#if GROUPED
@group(0) @binding(3) var<storage, read> group_offsets: array<u32>;
#endif
#if GATHER_A
@group(0) @binding(4) var<storage, read> source_row: array<u32>; // which row of A stands for row k
#endif
#if GATHER_B
@group(0) @binding(4) var<storage, read> source_row: array<u32>; // which row of B stands for row k
#endif

fn load_a(base: u32, at: u32) -> vec4f {
#if VEC
  return a_data[(base + min(at, params.m - 4u)) / 4u];
#else
  let last = params.m - 1u;
  return vec4f(a_data[base + min(at, last)], a_data[base + min(at + 1u, last)], a_data[base + min(at + 2u, last)], a_data[base + min(at + 3u, last)]);
#endif
}

fn load_b(base: u32, at: u32) -> vec4f {
#if VEC
  return b_data[(base + min(at, params.n - 4u)) / 4u];
#else
  let last = params.n - 1u;
  return vec4f(b_data[base + min(at, last)], b_data[base + min(at + 1u, last)], b_data[base + min(at + 2u, last)], b_data[base + min(at + 3u, last)]);
#endif
}

fn store(group: u32, row: u32, column: u32, sum: vec4f) {
  let at = (group * params.m + row) * params.n + column;
#if VEC
  if (column >= params.n) { return; }
  var value = sum;
  if (params.accumulate == 1u) { value += c_data[at / 4u]; }
  c_data[at / 4u] = value;
#else
  for (var j = 0u; j < 4u; j++) {
    if (column + j >= params.n) { return; }
    var one = sum[j];
    if (params.accumulate == 1u) { one += c_data[at + j]; }
    c_data[at + j] = one;
  }
#endif
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = (workgroup.x * LANES * VECS + lane) * 4u;
  let group = workgroup.y; // before the rows, so that each run of the grid has rows of all groups: see tiles.wgsl
  let row = workgroup.z * LANES * 4u;
#if GROUPED
  let begin = group_offsets[group];
  let end = group_offsets[group + 1u];
  let a_base = 0u;
  let b_base = 0u;
#else
  let begin = 0u;
  let end = params.k;
  let a_base = group * params.a_stride;
  let b_base = group * params.b_stride;
#endif
  @repeat for (var l = 0; l < LANES; l++) {
    @repeat for (var c = 0; c < 4; c++) {
      @repeat for (var v = 0; v < VECS; v++) { var sum$v$c$l = vec4f(); }
    }
  }
  for (var k = begin; k < end; k++) {
#if GATHER_A
    let a_row = source_row[k];
#else
    let a_row = k;
#endif
#if GATHER_B
    let b_row = source_row[k];
#else
    let b_row = k;
#endif
    @repeat for (var v = 0; v < VECS; v++) { let b$v = load_b(b_base + b_row * params.n, column + v * 4u * LANES); }
#if SUBGROUPS
    let own = load_a(a_base + a_row * params.m, row + 4u * lane);
#endif
    @unroll for (var l = 0; l < LANES; l++) {
#if SUBGROUPS
      let a = vec4f(subgroupBroadcast(own.x, l), subgroupBroadcast(own.y, l), subgroupBroadcast(own.z, l), subgroupBroadcast(own.w, l));
#else
      let a = load_a(a_base + a_row * params.m, row + 4u * l);
#endif
      @unroll for (var v = 0; v < VECS; v++) {
        sum$v0$l = fma(vec4f(a.x), b$v, sum$v0$l);
        sum$v1$l = fma(vec4f(a.y), b$v, sum$v1$l);
        sum$v2$l = fma(vec4f(a.z), b$v, sum$v2$l);
        sum$v3$l = fma(vec4f(a.w), b$v, sum$v3$l);
      }
    }
  }
  @repeat for (var v = 0; v < VECS; v++) {
    var sums$v: array<vec4f, ROWS>; // so that the code to store a row is compiled once
    @repeat for (var l = 0; l < LANES; l++) {
      @repeat for (var c = 0; c < 4; c++) { sums$v[4u * l + c] = sum$v$c$l; }
    }
    for (var r = 0u; r < min(ROWS, params.m - row); r++) { store(group, row + r, column + v * 4u * LANES, sums$v[r]); }
  }
}
