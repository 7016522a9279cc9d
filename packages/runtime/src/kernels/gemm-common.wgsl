// What the cores of the product share: sizes, B, bias, C, the table of tiles, and how a row of C is stored.
struct Params {
  m: u32, n: u32, k: u32,
  k_quads: u32,   // ceil(k / 4)
  a_stride: u32, b_stride: u32, c_stride: u32, // from one matrix of a batch to the next, in elements; b_stride also from group to group
  scale: f32,
  accumulate: u32, // 1: add to what C holds
  has_bias: u32,   // 1: bias[n], or bias[group, n]
  groups: u32,
}
#if VEC
alias Load = vec4f; // k and n are multiples of 4
#else
alias Load = f32;
#endif
#if PACKED_B
alias LoadB = vec4f; // panels: see kernels/panels.wgsl
#else
#include "stored"
alias LoadB = Stored;
#endif
@group(0) @binding(1) var<storage, read> b_data0: array<LoadB>;
#if DUAL
// A second B of the same shape: with the products g and u, C = silu(g) · u.
@group(0) @binding(2) var<storage, read> b_data1: array<LoadB>;
#else
@group(0) @binding(2) var<storage, read> bias: array<Load>;
#endif
@group(0) @binding(3) var<storage, read_write> c_data: array<Load>;
#if GROUPED
@group(0) @binding(4) var<storage, read> group_offsets: array<u32>; // [groups + 1]
#include "tiles"
#endif

#if !PACKED_B
@repeat for (var v = 0; v < BANKS; v++) {
#if !VEC
fn element_b$v(i: u32) -> f32 { return single(b_data$v[i / PER_WORD], i); }
#endif
#if OUT_MAJOR
// B as [n, k]: four values along k of one column.
fn load_b$v(base: u32, q: u32, column: u32) -> vec4f {
  let start = base + min(column, params.n - 1u) * params.k;
#if VEC
  return quad(b_data$v[start / 4u + q]);
#else
  let k = 4u * q;
  let at = start + k;
  return vec4f(element_b$v(at), select(0.0, element_b$v(at + 1u), k + 1u < params.k), select(0.0, element_b$v(at + 2u), k + 2u < params.k),
    select(0.0, element_b$v(at + 3u), k + 3u < params.k));
#endif
}
#else
// B as [k, n]: four columns of one k; beyond k anything finite will do, since A is zero there.
fn load_b$v(base: u32, k: u32, column: u32) -> vec4f {
  let start = base + min(k, params.k - 1u) * params.n;
#if VEC
  return quad(b_data$v[(start + min(column, params.n - 4u)) / 4u]);
#else
  let last = params.n - 1u;
  return vec4f(element_b$v(start + min(column, last)), element_b$v(start + min(column + 1u, last)),
    element_b$v(start + min(column + 2u, last)), element_b$v(start + min(column + 3u, last)));
#endif
}
#endif
}
#endif

fn store(row: u32, column: u32, group: u32, c_base: u32, sum: vec4f) {
  var value = sum * params.scale;
  let at = c_base + row * params.n + column;
#if VEC
  if (column >= params.n) { return; }
#if !DUAL
  if (params.has_bias == 1u) { value += bias[(group * params.n + column) / 4u]; }
  if (params.accumulate == 1u) { value += c_data[at / 4u]; }
#endif
  c_data[at / 4u] = value;
#else
  for (var j = 0u; j < 4u; j++) {
    if (column + j >= params.n) { return; }
    var one = value[j];
#if !DUAL
    if (params.has_bias == 1u) { one += bias[group * params.n + column + j]; }
    if (params.accumulate == 1u) { one += c_data[at + j]; }
#endif
    c_data[at + j] = one;
  }
#endif
}

#if DUAL
fn gated(g: vec4f, u: vec4f) -> vec4f { return g / (1.0 + exp(-g)) * u; }
#endif

// A workgroup's rows: first .. end of a group; NONE past the last group.
struct Tile { group: u32, first: u32, end: u32 }
fn own_tile(index: u32, slots: u32) -> Tile {
#if GROUPED
  let tile = tile_at(index, slots);
  if (tile.x == NONE) { return Tile(NONE, 0u, 0u); }
  return Tile(tile.x, tile.y, group_offsets[tile.x + 1u]);
#else
  return Tile(0u, index * ROWS, params.m);
#endif
}
