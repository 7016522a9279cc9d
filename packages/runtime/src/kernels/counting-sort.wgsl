// A stable counting sort of u32 keys in four steps, one a specialisation. Keys of `keys` or more, such as NONE, are left out.
//   HISTOGRAM  counts[key, chunk] = how often the key occurs in the chunk of CHUNK items
//   TOTALS     totals[key] = Σ over chunks
//   OFFSETS    offsets[key], and counts[key, chunk] becomes the slot of the chunk's first item with that key
//   PLACE      slots[item] and order[slot]
// Called by kernels/counting-sort.ts.
struct Params { items: u32, keys: u32, chunk: u32, chunks: u32 }
const NONE = 0xffffffffu;
#if HISTOGRAM
@group(0) @binding(0) var<storage, read> key_of: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;

// One thread a (key, chunk).
fn run(id: u32) {
  if (id >= params.keys * params.chunks) { return; }
  let key = id / params.chunks;
  let begin = id % params.chunks * params.chunk;
  var count = 0u;
  for (var i = begin; i < min(begin + params.chunk, params.items); i++) { count += select(0u, 1u, key_of[i] == key); }
  counts[id] = count;
}
#endif
#if TOTALS
@group(0) @binding(0) var<storage, read> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> totals: array<u32>;

fn run(key: u32) {
  if (key >= params.keys) { return; }
  var total = 0u;
  for (var c = 0u; c < params.chunks; c++) { total += counts[key * params.chunks + c]; }
  totals[key] = total;
}
#endif
#if OFFSETS
@group(0) @binding(0) var<storage, read> totals: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> offsets: array<u32>; // [keys + 1]

fn run(key: u32) {
  if (key > params.keys) { return; }
  var at = 0u;
  for (var k = 0u; k < key; k++) { at += totals[k]; }
  offsets[key] = at;
  if (key == params.keys) { return; }
  for (var c = 0u; c < params.chunks; c++) {
    let count = counts[key * params.chunks + c];
    counts[key * params.chunks + c] = at;
    at += count;
  }
}
#endif
#if PLACE
@group(0) @binding(0) var<storage, read> key_of: array<u32>;
@group(0) @binding(1) var<storage, read> first_slot: array<u32>; // [key, chunk]
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;
@group(0) @binding(4) var<storage, read_write> order: array<u32>;

// One thread a (key, chunk); that of key 0 also marks what is left out.
fn run(id: u32) {
  if (id >= params.keys * params.chunks) { return; }
  let key = id / params.chunks;
  let begin = id % params.chunks * params.chunk;
  var slot = first_slot[id];
  for (var i = begin; i < min(begin + params.chunk, params.items); i++) {
    let own = key_of[i];
    if (own == key) {
      slots[i] = slot;
      order[slot] = i;
      slot++;
    } else if (key == 0u && own >= params.keys) { slots[i] = NONE; }
    if (key == 0u && i >= offsets[params.keys]) { order[i] = NONE; }
  }
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  run((group.y * groups.x + group.x) * 64u + lane);
}
