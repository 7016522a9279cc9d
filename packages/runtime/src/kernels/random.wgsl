// Random numbers of a key, element i from word i % 4 of counter i / 4; a thread makes four. Called by kernels/random.ts, which picks:
//   UNIFORM  in [0, 1), multiples of 2^-24
//   NORMAL   mean 0, variance 1 (Box and Muller 1958), from pairs of words
//   DROPOUT  out = x / (1 − rate) where the element's uniform number is at least the rate, else 0
//   DERIVE   the key of a split: two words of a counter
struct Params {
  size: u32,
  key_low: u32, key_high: u32, // unless DEVICE_KEY
  threshold: u32,              // DROPOUT: rate · 2^24
  scale: f32,                  // DROPOUT: 1 / (1 − rate)
  label: u32, domain: u32,     // DERIVE: first and last word of the counter
}
#if DERIVE
@group(0) @binding(0) var<storage, read_write> out: array<u32>; // [2]
#else
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
#endif
#if DROPOUT
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
#if DEVICE_KEY
@group(0) @binding(2) var<storage, read> random_key: array<u32>; // [2]
#endif
#else
#if DEVICE_KEY
@group(0) @binding(1) var<storage, read> random_key: array<u32>; // [2]
#endif
#endif

#include "philox"

// −log((word + 1) / 2^32). Close to 1 the quotient would lose its digits in f32, and log is weak there.
fn minus_log(word: u32) -> f32 {
  let rest = f32(~word) * 0x1p-32;
  let series = rest * (1.0 + rest * (0.5 + rest * (0.33333334 + rest * 0.25)));
  return select(-log((f32(word) + 1.0) * 0x1p-32), series, rest < 0.01);
}

// Cosine and sine of word / 2^32 turns, by series within an eighth of a turn: SwiftShader's own err by 2e-4.
fn circle(word: u32) -> vec2f {
  let quarter = ((word + 0x20000000u) >> 30u) & 3u;
  let t = f32(bitcast<i32>(word - (quarter << 30u))) * 1.4629180792671596e-9;
  let q = t * t;
  let c = 1.0 + q * (-0.5 + q * (0.041666667 + q * (-0.0013888889 + q * 2.4801587e-5)));
  let s = t * (1.0 + q * (-0.16666667 + q * (0.0083333333 + q * (-1.984127e-4 + q * 2.7557319e-6))));
  let turned = select(vec2f(c, s), vec2f(-s, c), (quarter & 1u) == 1u);
  return select(turned, -turned, quarter >= 2u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let thread = (group.y * groups.x + group.x) * 64u + lane;
  if (4u * thread >= params.size) { return; }
#if DEVICE_KEY
  let key = vec2u(random_key[0], random_key[1]);
#else
  let key = vec2u(params.key_low, params.key_high);
#endif
#if DERIVE
  let derived = philox(vec4u(params.label, 0u, 0u, params.domain), key);
  out[0] = derived.x;
  out[1] = derived.y;
#else
  let words = philox(vec4u(thread, 0u, 0u, 0u), key);
#if UNIFORM
  out[thread] = vec4f(words >> vec4u(8u)) * 0x1p-24;
#endif
#if NORMAL
  let first = sqrt(2.0 * minus_log(words.x)) * circle(words.y);
  let second = sqrt(2.0 * minus_log(words.z)) * circle(words.w);
  out[thread] = vec4f(first, second);
#endif
#if DROPOUT
  out[thread] = select(vec4f(), x[thread] * params.scale, (words >> vec4u(8u)) >= vec4u(params.threshold));
#endif
#endif
}
