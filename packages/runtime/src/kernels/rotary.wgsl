// Rotates pairs of a head's elements by the angle of their position: (a, b) becomes (a cos − b sin, b cos + a sin). The pair is
// (j, j + half) as in Hugging Face's models, or (2j, 2j + 1) INTERLEAVED. Elements past 2·half stay. A thread a pair, or four
// neighbouring ones (VEC): sizes then count quads. The sign is −1 in the backward pass. Called by kernels/rotary.ts.
struct Params {
  pairs: u32,    // rows * ceil(dim / 2)
  length: u32,   // positions a sequence
  heads: u32,
  dim: u32,      // in loads, as half and pairs
  half: u32,     // rotated pairs of a head
  offset: u32,   // position of the first row of a sequence
  last: u32,     // position of the tables
  sign: f32,
  has_positions: u32,
}
#if VEC
alias Load = vec4f;
#else
alias Load = f32;
#endif
@group(0) @binding(0) var<storage, read> x: array<Load>;         // [batch, length, heads, dim]
@group(0) @binding(1) var<storage, read> cosines: array<Load>;   // [positions, half]
@group(0) @binding(2) var<storage, read> sines: array<Load>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;  // [batch, length]
@group(0) @binding(4) var<storage, read_write> out: array<Load>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.pairs) { return; }
  let per_head = (params.dim + 1u) / 2u;
  let j = i % per_head;
  let row = i / per_head; // (batch, position, head)
  let token = row / params.heads;
  let start = row * params.dim;
  if (j >= params.half) {
    // Not rotated: the tail of the head holds these elements, two a thread.
    let at = start + 2u * j;
    out[at] = x[at];
    if (2u * j + 1u < params.dim) { out[at + 1u] = x[at + 1u]; }
    return;
  }
  var position = params.offset + token % params.length;
  if (params.has_positions == 1u) { position = min(positions[token], params.last); }
  let c = cosines[position * params.half + j];
  let s = sines[position * params.half + j] * params.sign;
#if INTERLEAVED
  let first = start + 2u * j;
  let second = first + 1u;
#else
  let first = start + j;
  let second = first + params.half;
#endif
  let a = x[first];
  let b = x[second];
  out[first] = a * c - b * s;
  out[second] = b * c + a * s;
}
