// The order of falling values, ties in their own order, NaN last. Called by kernels/argsort.ts, which picks one of:
//   RANK   order[rank of i] = i: a thread counts all values ahead of its own, which few of them bear
//   KEYS   keys[i], which rise where values fall: for a radix sort
struct Params { size: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;             // [size]
@group(0) @binding(1) var<storage, read_write> out: array<u32>;     // [size]

#include "sort-key"

fn falling_key(value: f32) -> u32 { return INFINITY_KEY - sort_key(value); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.size) { return; }
  let key = falling_key(x[i]);
#if KEYS
  out[i] = key;
#else
  var rank = 0u;
  for (var j = 0u; j < params.size; j++) {
    let other = falling_key(x[j]);
    rank += select(0u, 1u, other < key || (other == key && j < i));
  }
  out[rank] = i;
#endif
}
