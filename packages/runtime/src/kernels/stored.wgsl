// Elements of a matrix as they lie in memory: a word each, or two to a word when STORED is f16 or bf16. All load as f32.
#if STORED == f16
fn pair(word: u32) -> vec2f { return unpack2x16float(word); }
#endif
#if STORED == bf16
fn pair(word: u32) -> vec2f { return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)); }
#endif
#if VEC
#if STORED
alias Stored = vec2u;
fn quad(stored: vec2u) -> vec4f { return vec4f(pair(stored.x), pair(stored.y)); }
#else
alias Stored = vec4f;
fn quad(stored: vec4f) -> vec4f { return stored; }
#endif
#else
#if STORED
alias Stored = u32;
const PER_WORD = 2u;
fn single(word: u32, i: u32) -> f32 {
  let both = pair(word);
  return select(both.x, both.y, i % 2u == 1u);
}
#else
alias Stored = f32;
const PER_WORD = 1u;
fn single(word: f32, i: u32) -> f32 { return word; }
#endif
#endif
