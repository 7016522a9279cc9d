export type { DType, HostArray, HostArrays } from "./dtype.ts";
export { RandomKey } from "./philox.ts";
export { keep, scope } from "./scope.ts";
export { formatShape, type Shape, sizeOf } from "./shape.ts";
export { empty, Tensor, tensor } from "./tensor.ts";
