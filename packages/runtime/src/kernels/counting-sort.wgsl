// One pass of a stable sort of items by a digit of their u32 key. Items with a key of `keys` or more, such as NONE, come last and
// are marked in the end. A thread owns a chunk of items, one step a specialisation:
//   HISTOGRAM  counts[digit, chunk] = how often the digit occurs in the chunk; their prefix sum is the slot of the first such item
//   PLACE      order[slot] and slots[item]; with ONE_PASS also how often each key occurs and where it begins
//   SEARCH     the same counts and offsets after several passes, from the sorted items
// Called by kernels/counting-sort.ts.
struct Params {
  items: u32,
  keys: u32,
  chunk: u32,   // items of a thread
  chunks: u32,
  digits: u32,  // values of a digit
  shift: u32,   // bits below it
  first: u32,   // 1: the items come in their own order, not in that of `source`
  last: u32,    // 1: items left out are marked by NONE
}
const NONE = 0xffffffffu;
@group(0) @binding(0) var<storage, read> key_of: array<u32>;              // [items]
@group(0) @binding(1) var<storage, read> source: array<u32>;              // [items] order after the pass before
#if HISTOGRAM
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;        // [digits, chunks]
#endif
#if PLACE
@group(0) @binding(2) var<storage, read> first_slot: array<u32>;          // [digits * chunks + 1]
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;        // [digits, chunks], counted down here
@group(0) @binding(4) var<storage, read_write> order: array<u32>;         // [items]
@group(0) @binding(5) var<storage, read_write> slots: array<u32>;         // [items]
#if ONE_PASS
@group(0) @binding(6) var<storage, read_write> key_counts: array<u32>;    // [keys]
@group(0) @binding(7) var<storage, read_write> offsets: array<u32>;       // [keys + 1]
#endif
#endif
#if SEARCH
@group(0) @binding(2) var<storage, read_write> key_counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> offsets: array<u32>;
#endif

#if SEARCH
// The first slot whose key is `key` or more.
fn lower_bound(key: u32) -> u32 {
  var low = 0u;
  var high = params.items;
  while (low < high) {
    let middle = low + (high - low) / 2u;
    let item = source[middle];
    if (item == NONE || key_of[min(item, params.items - 1u)] >= key) { high = middle; } else { low = middle + 1u; }
  }
  return low;
}

fn run(key: u32) {
  if (key > params.keys) { return; }
  let begin = lower_bound(key);
  offsets[key] = begin;
  if (key < params.keys) { key_counts[key] = lower_bound(key + 1u) - begin; }
}
#else
fn item_at(i: u32) -> u32 {
  if (params.first == 1u) { return i; }
  return source[i];
}

fn counter(key: u32, chunk: u32) -> u32 {
  return ((min(key, params.keys) >> params.shift) % params.digits) * params.chunks + chunk;
}

fn run(id: u32) {
#if ONE_PASS
  if (id <= params.keys) {
    let begin = first_slot[id * params.chunks];
    offsets[id] = begin;
    if (id < params.keys) { key_counts[id] = first_slot[(id + 1u) * params.chunks] - begin; }
  }
#endif
  if (id >= params.chunks) { return; }
  let begin = id * params.chunk;
  let end = min(begin + params.chunk, params.items);
#if HISTOGRAM
  for (var digit = 0u; digit < params.digits; digit++) { counts[digit * params.chunks + id] = 0u; }
  for (var i = begin; i < end; i++) { counts[counter(key_of[item_at(i)], id)]++; }
#else
  // Backwards, so that the count of what is left is the rank within the chunk.
  for (var i = end; i > begin; i--) {
    let item = item_at(i - 1u);
    let key = key_of[item];
    let at = counter(key, id);
    let rank = counts[at] - 1u;
    counts[at] = rank;
    let slot = first_slot[at] + rank;
    let kept = params.last == 0u || key < params.keys;
    order[slot] = select(NONE, item, kept);
    if (params.last == 1u) { slots[item] = select(NONE, slot, kept); }
  }
#endif
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  run((group.y * groups.x + group.x) * 64u + lane);
}
