/**
 * How the kernels that include row-sum.wgsl share a row of `width` elements: among the threads of a subgroup, or of a workgroup of
 * 64 with workgroup memory where there are none.
 */
export function rowDefines(width: number, subgroupSize: number) {
  return { LANES: subgroupSize || 64, SUBGROUPS: subgroupSize > 0, WIDE: width % 4 === 0 };
}
