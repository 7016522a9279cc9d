// Sums and maxima over a row whose elements are spread over the LANES threads of a workgroup: one subgroup where there are any.
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
