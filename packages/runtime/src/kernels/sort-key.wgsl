// Orders like the values themselves: NaN is 0, then from -infinity up; both zeros are one.
fn sort_key(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  return select(0x80000000u + magnitude, 0x80000000u - magnitude, bits != magnitude);
}

// The highest key: that of infinity.
const INFINITY_KEY = 0xff800000u;
