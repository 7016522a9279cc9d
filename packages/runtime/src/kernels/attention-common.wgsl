// What the attention kernels share: operands, sizes, and which keys a query sees. Rows of q, k and v are D values of one head; a row's
// address counts quads (vec4f) when D is a multiple of 4, else single values. Only these two loads differ, so D may be anything.
struct Params {
  queries: u32,     // T
  keys: u32,        // S, rows that k and v hold for a batch entry
  key_length: u32,  // of which this many are in use
  heads: u32,       // of queries
  group: u32,       // query heads a key/value head serves
  dim: u32,         // D
  scale: f32,       // of the scores, times log2(e): weights are powers of two
  offset: i32,      // position of query 0 among the keys
  ahead: i32,       // a query at position p sees keys p - back .. p + ahead
  back: i32,
  masked: u32,      // 1: mask[b, key] == 0 hides a key
  mask_stride: u32, // keys a row of the mask has
  positioned: u32,  // 1: offset and key_length follow from a tensor (forward only)
}
#if VEC
alias Load = vec4f;
#else
alias Load = f32;
#endif
@group(0) @binding(0) var<storage, read> q_data: array<Load>; // [B, T, heads, D]
@group(0) @binding(1) var<storage, read> k_data: array<Load>; // [B, S, heads / group, D]
@group(0) @binding(2) var<storage, read> v_data: array<Load>; // as k
@group(0) @binding(3) var<storage, read> mask: array<u32>;    // [B, mask_stride], u32 or the bits of f32

const HIDDEN = -1e30; // score of a key that a query does not see; no sum of real scores comes near
const NO_KEYS = 1e30; // logsumexp of a row that sees none: its weights vanish in the backward kernels too

const LN2 = 0.6931471805599453;

#if VEC
fn row_size() -> u32 { return params.dim / 4u; }
fn load_q(at: u32, d: u32) -> vec4f { return q_data[at + d]; }
fn load_k(at: u32, d: u32) -> vec4f { return k_data[at + d]; }
fn load_v(at: u32, d: u32) -> vec4f { return v_data[at + d]; }
#else
fn row_size() -> u32 { return params.dim; }
// Drops what a load took from beyond the row.
fn clip(d: u32, x: vec4f) -> vec4f { return select(vec4f(), x, vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.dim)); }
fn load_q(at: u32, d: u32) -> vec4f {
  let i = at + 4u * d;
  return clip(d, vec4f(q_data[i], q_data[i + 1u], q_data[i + 2u], q_data[i + 3u]));
}
fn load_k(at: u32, d: u32) -> vec4f {
  let i = at + 4u * d;
  return clip(d, vec4f(k_data[i], k_data[i + 1u], k_data[i + 2u], k_data[i + 3u]));
}
fn load_v(at: u32, d: u32) -> vec4f {
  let i = at + 4u * d;
  return clip(d, vec4f(v_data[i], v_data[i + 1u], v_data[i + 2u], v_data[i + 3u]));
}
#endif

fn quads() -> u32 { return (params.dim + 3u) / 4u; }

fn query_row(b: u32, t: u32, head: u32) -> u32 {
  return ((b * params.queries + min(t, params.queries - 1u)) * params.heads + head) * row_size();
}

fn key_row(b: u32, key: u32, head: u32) -> u32 {
  let row = b * params.keys + min(key, params.keys - 1u);
  return (row * (params.heads / params.group) + head / params.group) * row_size();
}

fn in_reach(key: vec4i, position: vec4i) -> vec4<bool> {
  return (key >= position - params.back) & (key <= position + params.ahead);
}

// Whether a key is there and not masked, for any query.
fn is_real(b: u32, key: u32, key_length: u32) -> bool {
  return key < key_length &&
    (params.masked == 0u || mask[b * params.mask_stride + min(key, params.mask_stride - 1u)] != 0u);
}
