// Steps of a routing plan around the counting sort. Called by kernels/plan.ts, which picks one of:
//   KEYS     the group of each assignment in the order in which capacity is given out; counts non-finite weights
//   OFFSETS  where each group's rows end once groups are cut to their capacity; total and dropped
//   FINISH   slot of each assignment, assignment and token of each slot
// A group is an expert and a routing group, expert by expert.
struct Params {
#include "params"
}
const NONE = 0xffffffffu;

#if KEYS
@group(0) @binding(0) var<storage, read> experts: array<u32>;    // [tokens * top_k], in token order
@group(0) @binding(1) var<storage, read> weights: array<u32>;    // the bits of the f32 weights, likewise
@group(0) @binding(2) var<storage, read> mask: array<f32>;       // [tokens]
@group(0) @binding(3) var<storage, read_write> keys: array<u32>; // in serving order; NONE: no row wanted
@group(0) @binding(4) var<storage, read_write> assignment_token: array<u32>;
@group(0) @binding(5) var<storage, read_write> token_offsets: array<u32>; // [tokens + 1]
@group(0) @binding(6) var<storage, read_write> state: array<atomic<u32>>; // total, dropped, overflow, non-finite: zeros before
@group(0) @binding(7) var<storage, read> order: array<u32>;      // [tokens] or [tokens * top_k]

#include "serving"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i <= params.tokens) { token_offsets[i] = i * params.top_k; }
  if (i >= params.tokens * params.top_k) { return; }
  let a = assignment(i);
  let token = a / params.top_k;
  let expert = experts[a];
  let masked = params.has_mask == 1u && mask[token] == 0.0;
  let no_product = expert >= params.groups / params.routing_groups;
  keys[i] = select(expert * params.routing_groups + token / params.group_tokens, NONE, masked || no_product);
  assignment_token[a] = token;
  if (!masked && (weights[a] & 0x7f800000u) == 0x7f800000u) { atomicAdd(&state[3], 1u); }
}
#endif
#if OFFSETS
@group(0) @binding(0) var<storage, read> sorted_offsets: array<u32>;      // [groups + 1], before the cut
@group(0) @binding(1) var<storage, read_write> group_offsets: array<u32>; // [groups + 1]
@group(0) @binding(2) var<storage, read_write> expert_offsets: array<u32>; // [experts + 1]
@group(0) @binding(3) var<storage, read_write> state: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = workgroup.x * 64u + lane;
  if (group > params.groups) { return; }
  var at = 0u;
  for (var g = 0u; g < group; g++) { at += min(sorted_offsets[g + 1u] - sorted_offsets[g], params.capacity); }
  group_offsets[group] = at;
  if (group % params.routing_groups == 0u) { expert_offsets[group / params.routing_groups] = at; }
  if (group == params.groups) {
    state[0] = at;
    state[1] = sorted_offsets[group] - at;
  }
}
#endif
#if FINISH
@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> slots: array<u32>;          // of the counting sort, before the cut
@group(0) @binding(2) var<storage, read> sorted_offsets: array<u32>;
@group(0) @binding(3) var<storage, read> group_offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> assignment_slot: array<u32>;
@group(0) @binding(5) var<storage, read_write> slot_assignment: array<u32>;
@group(0) @binding(6) var<storage, read_write> slot_token: array<u32>;
@group(0) @binding(7) var<storage, read> order: array<u32>;          // [tokens] or [tokens * top_k]

#include "serving"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.tokens * params.top_k) { return; }
  let a = assignment(i);
  let key = keys[i];
  var slot = NONE;
  if (key != NONE) {
    let rank = slots[i] - sorted_offsets[key];
    if (rank < params.capacity) { slot = group_offsets[key] + rank; }
  }
  assignment_slot[a] = slot;
  if (slot != NONE) {
    slot_assignment[slot] = a;
    slot_token[slot] = a / params.top_k;
  }
  // Slots past the last group belong to nobody.
  if (i >= group_offsets[params.groups]) {
    slot_assignment[i] = NONE;
    slot_token[i] = 0u;
  }
}
#endif
