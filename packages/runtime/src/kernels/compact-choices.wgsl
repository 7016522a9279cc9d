// Closes the gaps of ragged choices: places of [tokens, top_k] that name no expert get no assignment. One step a specialisation:
//   WANTED  flags[place] = 1 where an assignment is wanted; their prefix sum numbers the assignments
//   PLACE   expert, token and place of each assignment, the assignment of each place, and where a token's assignments begin
//   REMAP   a plan of places made one of assignments
// Called by kernels/compact-choices.ts.
struct Params {
  tokens: u32,
  top_k: u32,
  assignments: u32, // most there are room for
  has_mask: u32,    // 1: tokens with mask 0 have no assignments
}
const NONE = 0xffffffffu;

#if WANTED
@group(0) @binding(0) var<storage, read> experts: array<u32>;            // [tokens * top_k]
@group(0) @binding(1) var<storage, read> mask: array<f32>;               // [tokens]
@group(0) @binding(2) var<storage, read_write> flags: array<u32>;        // [tokens * top_k]

fn run(place: u32) {
  if (place >= params.tokens * params.top_k) { return; }
  let masked = params.has_mask == 1u && mask[place / params.top_k] == 0.0;
  flags[place] = select(1u, 0u, masked || experts[place] == NONE);
}
#endif
#if PLACE
@group(0) @binding(0) var<storage, read> experts: array<u32>;            // [tokens * top_k]
@group(0) @binding(1) var<storage, read> number: array<u32>;             // [tokens * top_k + 1]
@group(0) @binding(2) var<storage, read_write> assignment_expert: array<u32>; // [assignments]
@group(0) @binding(3) var<storage, read_write> assignment_token: array<u32>;  // [assignments]
@group(0) @binding(4) var<storage, read_write> place_of: array<u32>;     // [assignments]
@group(0) @binding(5) var<storage, read_write> assignment_of: array<u32>; // [tokens * top_k]
@group(0) @binding(6) var<storage, read_write> bounded: array<u32>;      // [tokens * top_k] experts, NONE where there is no room
@group(0) @binding(7) var<storage, read_write> token_offsets: array<u32>; // [tokens + 1]

fn run(i: u32) {
  let places = params.tokens * params.top_k;
  if (i <= params.tokens) { token_offsets[i] = min(number[i * params.top_k], params.assignments); }
  if (i < places) {
    let at = number[i];
    let kept = number[i + 1u] > at && at < params.assignments;
    assignment_of[i] = select(NONE, at, kept);
    bounded[i] = select(NONE, experts[i], kept);
    if (kept) {
      assignment_expert[at] = experts[i];
      assignment_token[at] = i / params.top_k;
      place_of[at] = i;
    }
  }
  if (i < params.assignments && i >= number[places]) {
    assignment_expert[i] = NONE;
    assignment_token[i] = 0u;
    place_of[i] = NONE;
  }
}
#endif
#if REMAP
@group(0) @binding(0) var<storage, read> place_of: array<u32>;           // [assignments]
@group(0) @binding(1) var<storage, read> number: array<u32>;             // [tokens * top_k + 1]
@group(0) @binding(2) var<storage, read> place_slot: array<u32>;         // [tokens * top_k]
@group(0) @binding(3) var<storage, read> place_status: array<u32>;       // [4]
@group(0) @binding(4) var<storage, read_write> assignment_slot: array<u32>; // [assignments]
@group(0) @binding(5) var<storage, read_write> slot_assignment: array<u32>; // [assignments]
@group(0) @binding(6) var<storage, read_write> status: array<u32>;       // [4]

fn run(i: u32) {
  if (i < 4u) {
    let wanted = number[params.tokens * params.top_k];
    status[i] = select(place_status[i], wanted - min(wanted, params.assignments), i == 2u);
  }
  if (i >= params.assignments) { return; }
  var slot = NONE;
  if (place_of[i] != NONE) { slot = place_slot[place_of[i]]; }
  assignment_slot[i] = slot;
  if (slot != NONE) { slot_assignment[slot] = i; }
  if (i >= place_status[0]) { slot_assignment[i] = NONE; }
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  run((group.y * groups.x + group.x) * 64u + lane);
}
