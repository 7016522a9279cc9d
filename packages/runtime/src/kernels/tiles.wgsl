// The tile table of a grouped product: for tiles of `height` rows, which group a tile belongs to and its first row. A tile holds rows
// of one group only, so there are at most ceil(rows / height) + groups of them; the rest are marked NONE. One thread a group finds
// its first tile by counting those before it: groups are few, and this is a few hundred additions. Called by kernels/gemm.ts.
struct Params { groups: u32, height: u32, max_tiles: u32 }
@group(0) @binding(0) var<storage, read> group_offsets: array<u32>;
@group(0) @binding(1) var<storage, read_write> tiles: array<vec2u>;

fn tiles_of(group: u32) -> u32 {
  return (group_offsets[group + 1u] - group_offsets[group] + params.height - 1u) / params.height;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  // The thread after the last group marks what is left over.
  let group = workgroup.x * 64u + lane;
  if (group > params.groups) { return; }
  var at = 0u;
  for (var before = 0u; before < group; before++) { at += tiles_of(before); }
  if (group == params.groups) {
    for (; at < params.max_tiles; at++) { tiles[at] = vec2u(0xffffffffu, 0u); }
    return;
  }
  let count = tiles_of(group);
  for (var t = 0u; t < count; t++) { tiles[at + t] = vec2u(group, group_offsets[group] + t * params.height); }
}
