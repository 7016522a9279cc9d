// out[c, e] = Σ over the c-th chunk of assignments that chose expert e of mask[token]: counts of a routing, weighted by its padding
// mask. One thread a (chunk, expert), always in the same order. Called by kernels/count-experts.ts.
struct Params {
  assignments: u32, experts: u32, chunk: u32, chunks: u32,
  first_only: u32, // 1: only the first choice of each token counts
  has_mask: u32,
}
@group(0) @binding(0) var<storage, read> assignment_expert: array<u32>; // [assignments]
@group(0) @binding(1) var<storage, read> assignment_token: array<u32>;  // [assignments]
@group(0) @binding(2) var<storage, read> token_offsets: array<u32>;     // [tokens + 1]
@group(0) @binding(3) var<storage, read> mask: array<f32>;              // [tokens]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;         // [chunks, experts]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = (group.y * groups.x + group.x) * 64u + lane;
  if (id >= params.chunks * params.experts) { return; }
  let expert = id % params.experts;
  let begin = id / params.experts * params.chunk;
  var sum = 0.0;
  for (var a = begin; a < min(begin + params.chunk, params.assignments); a++) {
    if (assignment_expert[a] != expert) { continue; }
    let token = assignment_token[a];
    if (params.first_only == 1u && a != token_offsets[token]) { continue; }
    sum += select(1.0, mask[token], params.has_mask == 1u);
  }
  out[id] = sum;
}
