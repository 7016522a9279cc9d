// Sums and maxima over a row whose elements are spread over the LANES threads of a workgroup: one subgroup where there are any. Rows
// are read in Loads of QUAD elements: four where the row's length is a multiple of four (three times faster on software adapters).
#if WIDE
alias Load = vec4f;
const QUAD = 4u;
fn add_up(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn highest(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
#else
alias Load = f32;
const QUAD = 1u;
fn add_up(v: f32) -> f32 { return v; }
fn highest(v: f32) -> f32 { return v; }
#endif
#if SUBGROUPS
fn row_sum(x: f32, lane: u32) -> f32 { return subgroupAdd(x); }
fn row_max(x: f32, lane: u32) -> f32 { return subgroupMax(x); }
#else
var<workgroup> shared_values: array<f32, LANES>;
fn row_sum(x: f32, lane: u32) -> f32 {
  workgroupBarrier(); // an earlier result may still be read
  shared_values[lane] = x;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { shared_values[lane] += shared_values[lane + half]; }
  }
  workgroupBarrier();
  return shared_values[0];
}
fn row_max(x: f32, lane: u32) -> f32 {
  workgroupBarrier();
  shared_values[lane] = x;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { shared_values[lane] = max(shared_values[lane], shared_values[lane + half]); }
  }
  workgroupBarrier();
  return shared_values[0];
}
#endif
