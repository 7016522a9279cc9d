// Which group a tile of ROWS rows belongs to, and its first row; a tile holds rows of one group only, so there are at most rows / ROWS +
// groups of them. Each workgroup counts for itself: a loop over the groups is cheaper than a dispatch that fills a table.
const NONE = 0xffffffffu;

fn tile_at(index: u32) -> vec2u {
  var before = 0u;
  var begin = 0u;
  for (var group = 0u; group < params.groups; group++) {
    let end = group_offsets[group + 1u];
    let count = (end - begin + ROWS - 1u) / ROWS;
    if (index < before + count) { return vec2u(group, begin + (index - before) * ROWS); }
    before += count;
    begin = end;
  }
  return vec2u(NONE, 0u); // past the last group
}
