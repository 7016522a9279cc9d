// A token that names an expert twice names it once, with the sum of both weights: the first place keeps the expert, later ones
// become NONE with weight 0. A thread owns a token. Called by kernels/merge-duplicates.ts.
struct Params { tokens: u32, top_k: u32 }
@group(0) @binding(0) var<storage, read> experts: array<u32>;            // [tokens, top_k]
@group(0) @binding(1) var<storage, read> weights: array<f32>;            // [tokens, top_k]
@group(0) @binding(2) var<storage, read_write> merged: array<u32>;       // [tokens, top_k]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;         // [tokens, top_k]
@group(0) @binding(4) var<storage, read_write> first: array<u32>;        // [tokens, top_k] the place that stands for each place

const NONE = 0xffffffffu;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let token = (group.y * groups.x + group.x) * 64u + lane;
  if (token >= params.tokens) { return; }
  let begin = token * params.top_k;
  for (var k = 0u; k < params.top_k; k++) {
    let expert = experts[begin + k];
    var at = k;
    if (expert != NONE) {
      at = 0u;
      while (experts[begin + at] != expert) { at++; }
    }
    first[begin + k] = at;
    merged[begin + k] = select(NONE, expert, at == k);
    var sum = 0.0;
    if (at == k) {
      sum = weights[begin + k];
      for (var j = k + 1u; j < params.top_k; j++) {
        if (expert != NONE && experts[begin + j] == expert) { sum += weights[begin + j]; }
      }
    }
    sums[begin + k] = sum;
  }
}
