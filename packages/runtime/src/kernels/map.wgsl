// out[i] = EXPRESSION of up to four inputs a, b, c, d and the scalars s0, s1. Called by kernels/map.ts, which fills in how each
// input is read: element for element, a scalar, a trailing or leading broadcast, or by strides. A thread computes BATCH times WIDTH elements.
struct Params {
  size: u32, // elements of out
  s0: f32,
  s1: f32,
  a_extent: u32, b_extent: u32, c_extent: u32, d_extent: u32, // size of a trailing, repeat of a leading broadcast
#if STRIDED
  lengths: vec4u, // of out's axes, outermost first
  a_strides: vec4u, b_strides: vec4u, c_strides: vec4u, d_strides: vec4u, // in elements, 0 on a broadcast axis
#endif
}
@group(0) @binding(0) var<storage, read_write> out: array<OUT_TYPE>;
#if INPUTS > 0
@group(0) @binding(1) var<storage, read> a_data: array<A_TYPE>;
#endif
#if INPUTS > 1
@group(0) @binding(2) var<storage, read> b_data: array<B_TYPE>;
#endif
#if INPUTS > 2
@group(0) @binding(3) var<storage, read> c_data: array<C_TYPE>;
#endif
#if INPUTS > 3
@group(0) @binding(4) var<storage, read> d_data: array<D_TYPE>;
#endif

#include "math"

#if STRIDED
fn strided(i: u32, strides: vec4u) -> u32 {
  let l = params.lengths;
  let at = vec4u(i / (l.w * l.z * l.y), (i / (l.w * l.z)) % l.y, (i / l.w) % l.z, i % l.w);
  let steps = at * strides;
  return steps.x + steps.y + steps.z + steps.w;
}
#endif

fn compute(thread: u32) {
  let i = thread * WIDTH; // its first element
  let s0 = T(params.s0);
  let s1 = T(params.s1);
#if INPUTS > 0
  let a = A_READ;
#endif
#if INPUTS > 1
  let b = B_READ;
#endif
#if INPUTS > 2
  let c = C_READ;
#endif
#if INPUTS > 3
  let d = D_READ;
#endif
  out[thread] = EXPRESSION;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = (group.y * groups.x + group.x) * 64u * BATCH;
  if ((begin + 64u * BATCH) * WIDTH <= params.size) {
    // One decision a workgroup: a condition around each access costs more than the batch wins.
    @unroll for (var j = 0; j < BATCH; j++) { compute(begin + 64u * j + lane); }
  } else {
    for (var thread = begin + lane; thread * WIDTH < params.size && thread < begin + 64u * BATCH; thread += 64u) { compute(thread); }
  }
}
