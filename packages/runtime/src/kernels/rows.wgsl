// Moves rows between token order and the grouped order of a routing plan. Called by kernels/rows.ts, which picks one of:
//   COMBINE  out[n] = Σ over the assignments a of token n of (weight[a] ·) x[slot(a)], in assignment order
//   WEIGH    out[s] = weight[assignment(s)] · x[s] for the grouped row s
//   DOT      out[a] = <x[slot(a)], y[slot(a)]>, zero for a dropped assignment
struct Params { rows: u32, width: u32 }
#if COMBINE
@group(0) @binding(0) var<storage, read> x: array<Element>;              // [slots, width]
@group(0) @binding(1) var<storage, read> token_offsets: array<u32>;      // [tokens + 1]
@group(0) @binding(2) var<storage, read> assignment_slot: array<u32>;    // [assignments]
@group(0) @binding(3) var<storage, read> weight: array<f32>;             // [assignments]
@group(0) @binding(4) var<storage, read_write> out: array<Element>;      // [tokens, width]
#endif
#if WEIGH
@group(0) @binding(0) var<storage, read> x: array<Element>;              // [slots, width]
@group(0) @binding(1) var<storage, read> slot_assignment: array<u32>;    // [slots]
@group(0) @binding(2) var<storage, read> weight: array<f32>;             // [assignments]
@group(0) @binding(3) var<storage, read_write> out: array<Element>;      // [slots, width]
#endif
#if DOT
@group(0) @binding(0) var<storage, read> x: array<Element>;              // [slots, width]
@group(0) @binding(1) var<storage, read> y: array<Element>;              // [slots, width]
@group(0) @binding(2) var<storage, read> assignment_slot: array<u32>;    // [assignments]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;          // [assignments]
#endif
#if WIDE
alias Element = vec4f; // width counts quads
#else
alias Element = f32;
#endif

const NONE = 0xffffffffu;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (group.y * groups.x + group.x) * 64u + lane;
#if DOT
  let a = id;
  if (a >= params.rows) { return; }
  let slot = assignment_slot[a];
  var sum = 0.0;
  if (slot != NONE) {
    for (var j = 0u; j < params.width; j++) {
#if WIDE
      sum += dot(x[slot * params.width + j], y[slot * params.width + j]);
#else
      sum += x[slot * params.width + j] * y[slot * params.width + j];
#endif
    }
  }
  out[a] = sum;
#else
  let row = id / params.width;
  let j = id % params.width;
  if (row >= params.rows) { return; }
#if WEIGH
  let a = slot_assignment[row];
  out[id] = select(weight[a], 0.0, a == NONE) * x[id];
#endif
#if COMBINE
  var sum = Element();
  for (var a = token_offsets[row]; a < token_offsets[row + 1u]; a++) {
    let slot = assignment_slot[a];
    if (slot == NONE) { continue; }
#if WEIGHTED
    sum += weight[a] * x[slot * params.width + j];
#else
    sum += x[slot * params.width + j];
#endif
  }
  out[id] = sum;
#endif
#endif
}
