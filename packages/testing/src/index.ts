export { hasShared, sharedPath } from "#shared";
export { checkOp, expectClose, type OpCase } from "./check-op.ts";
export { testDevice } from "./device.ts";
export { uniform, uniformArray } from "./random.ts";
