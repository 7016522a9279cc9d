// A routing plan in one workgroup: for few assignments the dispatches of plan.wgsl and its sort cost more than the work. Each thread
// serves one run of assignments; its counts a group, summed over the threads before it, are where its rows begin, so rows are in
// serving order. A group is an expert and a routing group, expert by expert; there
// are at most GROUPS. Called by kernels/plan.ts.
struct Params {
#include "params"
  // Where each part of the plan begins in `plan`:
  token_offsets: u32,
  assignment_slot: u32,
  slot_assignment: u32,
  slot_token: u32,
  group_offsets: u32,
  status: u32,
}
@group(0) @binding(0) var<storage, read> experts: array<u32>;      // [tokens * top_k], in token order
@group(0) @binding(1) var<storage, read> weights: array<u32>;      // the bits of the f32 weights, likewise
@group(0) @binding(2) var<storage, read> mask: array<f32>;         // [tokens]
@group(0) @binding(3) var<storage, read> order: array<u32>;        // [tokens] or [tokens * top_k]
@group(0) @binding(4) var<storage, read_write> plan: array<u32>;   // begins with assignmentToken

const NONE = 0xffffffffu;

var<workgroup> counts: array<u32, THREADS * GROUPS>; // [thread, group]: rows wanted, then those of the threads before
var<workgroup> sizes: array<u32, GROUPS>;            // rows wanted, all threads together
var<workgroup> offsets: array<u32, GROUPS + 1>;
var<workgroup> non_finite: atomic<u32>;

#include "serving"

// The group that assignment a wants a row of; NONE for none.
fn wanted(a: u32) -> u32 {
  let token = a / params.top_k;
  let masked = params.has_mask == 1u && mask[token] == 0.0;
  let no_product = experts[a] >= params.groups / params.routing_groups;
  return select(experts[a] * params.routing_groups + token / params.group_tokens, NONE, masked || no_product);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  let total = params.tokens * params.top_k;
  let run = (total + THREADS - 1u) / THREADS;
  let begin = min(thread * run, total);
  let end = min(begin + run, total);
  for (var g = 0u; g < params.groups; g++) { counts[thread * GROUPS + g] = 0u; }
  for (var i = begin; i < end; i++) {
    let a = assignment(i);
    let group = wanted(a);
    if (group != NONE) { counts[thread * GROUPS + group]++; }
    let is_padding = params.has_mask == 1u && mask[a / params.top_k] == 0.0;
    if (!is_padding && (weights[a] & 0x7f800000u) == 0x7f800000u) { atomicAdd(&non_finite, 1u); }
  }
  for (var token = thread; token <= params.tokens; token += THREADS) { plan[params.token_offsets + token] = token * params.top_k; }
  workgroupBarrier();

  for (var g = thread; g < params.groups; g += THREADS) {
    var before = 0u;
    for (var t = 0u; t < THREADS; t++) {
      let own = counts[t * GROUPS + g];
      counts[t * GROUPS + g] = before;
      before += own;
    }
    sizes[g] = before;
  }
  workgroupBarrier();

  if (thread == 0u) {
    var at = 0u;
    var asked = 0u;
    for (var g = 0u; g < params.groups; g++) {
      offsets[g] = at;
      if (g % params.routing_groups == 0u) { plan[params.group_offsets + g / params.routing_groups] = at; }
      at += min(sizes[g], params.capacity);
      asked += sizes[g];
    }
    offsets[params.groups] = at;
    plan[params.group_offsets + params.groups / params.routing_groups] = at;
    plan[params.status] = at;
    plan[params.status + 1u] = asked - at;
    plan[params.status + 2u] = 0u;
    plan[params.status + 3u] = atomicLoad(&non_finite);
  }
  workgroupBarrier();

  let rows = offsets[params.groups];
  for (var i = begin; i < end; i++) {
    let a = assignment(i);
    let group = wanted(a);
    var slot = NONE;
    if (group != NONE) {
      let rank = counts[thread * GROUPS + group];
      counts[thread * GROUPS + group] = rank + 1u;
      if (rank < params.capacity) { slot = offsets[group] + rank; }
    }
    plan[a] = a / params.top_k;
    plan[params.assignment_slot + a] = slot;
    if (slot != NONE) {
      plan[params.slot_assignment + slot] = a;
      plan[params.slot_token + slot] = a / params.top_k;
    }
    // Slots past the last group belong to nobody.
    if (i >= rows) {
      plan[params.slot_assignment + i] = NONE;
      plan[params.slot_token + i] = 0u;
    }
  }
}
