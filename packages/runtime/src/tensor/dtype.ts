/** Element types on the device, four bytes each. Narrower weights (f16, bf16) are widened when they are loaded. */
export type DType = "f32" | "u32" | "i32";

export type HostArray = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

export interface HostArrays {
  f32: Float32Array<ArrayBuffer>;
  u32: Uint32Array<ArrayBuffer>;
  i32: Int32Array<ArrayBuffer>;
}

export function hostArray<T extends DType>(dtype: T, bytes: ArrayBuffer): HostArrays[T] {
  return new { f32: Float32Array, u32: Uint32Array, i32: Int32Array }[dtype](bytes) as HostArrays[T];
}

export function dtypeOf(data: HostArray): DType {
  return data instanceof Float32Array ? "f32" : data instanceof Uint32Array ? "u32" : "i32";
}
