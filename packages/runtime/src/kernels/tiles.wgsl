// Which group a tile of ROWS rows belongs to, and its first row; a tile holds rows of one group only, so there are at most rows / ROWS +
// groups of them. Each workgroup counts for itself: a loop over the groups is cheaper than a dispatch that fills a table. Slots without a
// tile are spread evenly among the others: a software adapter gives each of its threads one run of the grid, and must not give one of
// them all that is empty.
const NONE = 0xffffffffu;

fn tiles_of(group: u32) -> u32 { return (group_offsets[group + 1u] - group_offsets[group] + ROWS - 1u) / ROWS; }

fn tile_at(slot: u32, slots: u32) -> vec2u {
  var total = 0u;
  for (var group = 0u; group < params.groups; group++) { total += tiles_of(group); }
  let index = slot * total / slots;
  if (index == (slot + 1u) * total / slots) { return vec2u(NONE, 0u); }
  var before = 0u;
  for (var group = 0u; group < params.groups; group++) {
    let count = tiles_of(group);
    if (index < before + count) { return vec2u(group, group_offsets[group] + (index - before) * ROWS); }
    before += count;
  }
  return vec2u(NONE, 0u);
}
