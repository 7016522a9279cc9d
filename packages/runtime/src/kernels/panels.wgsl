// Packs rows of k values for gemm-panels.wgsl: a panel holds 4·LANES rows, k after k, as quads of four neighbouring rows; k is filled up
// with zeros to a multiple of 4, rows past the end repeat the last one. Called by kernels/panels.ts.
struct Params {
  rows: u32, k: u32,
  k_quads: u32,
  stride: u32, // from one matrix of a batch to the next, in elements
  groups: u32,
}
#include "stored"
@group(0) @binding(0) var<storage, read> rows_data: array<Stored>; // VEC: k is a multiple of 4
@group(0) @binding(1) var<storage, read_write> panels: array<vec4f>; // [panels, 4·k_quads, LANES]
#if GROUPED
@group(0) @binding(2) var<storage, read> group_offsets: array<u32>; // [groups + 1]
#include "tiles"
#endif
#if OF_GROUPS
@group(0) @binding(2) var<storage, read> group_offsets: array<u32>; // a matrix each: those of empty groups are never read
#endif
#if GATHER
@group(0) @binding(3) var<storage, read> source_row: array<u32>; // which row stands for row m
#endif

#if !VEC
fn element(i: u32) -> f32 { return single(rows_data[i / PER_WORD], i); }
#endif

fn load(base: u32, first: u32, end: u32, q: u32) -> vec4f {
  var row = min(first, end - 1u);
#if GATHER
  row = source_row[row];
#endif
  let at = base + row * params.k + 4u * q;
#if VEC
  return quad(rows_data[at / 4u]);
#else
  let left = params.k - 4u * q;
  return vec4f(element(at), select(0.0, element(at + 1u), left > 1u), select(0.0, element(at + 2u), left > 2u),
    select(0.0, element(at + 3u), left > 3u));
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let q = workgroup.x * (64u / LANES) + thread / LANES;
  if (q >= params.k_quads) { return; }
#if OF_GROUPS
  if (group_offsets[workgroup.z + 1u] == group_offsets[workgroup.z]) { return; }
#endif
#if GROUPED
  let tile = tile_at(workgroup.y, workgroups.y);
  if (tile.x == NONE) { return; }
  let end = group_offsets[tile.x + 1u];
  let first = tile.y + 4u * (thread % LANES);
#else
  let end = params.rows;
  let first = 4u * (workgroup.y * LANES + thread % LANES);
#endif
  let base = workgroup.z * params.stride;
  let r0 = load(base, first, end, q);
  let r1 = load(base, first + 1u, end, q);
  let r2 = load(base, first + 2u, end, q);
  let r3 = load(base, first + 3u, end, q);
  let at = ((workgroup.z * workgroups.y + workgroup.y) * params.k_quads + q) * 4u * LANES + thread % LANES;
  panels[at] = vec4f(r0.x, r1.x, r2.x, r3.x);
  panels[at + LANES] = vec4f(r0.y, r1.y, r2.y, r3.y);
  panels[at + 2u * LANES] = vec4f(r0.z, r1.z, r2.z, r3.z);
  panels[at + 3u * LANES] = vec4f(r0.w, r1.w, r2.w, r3.w);
}
