import { library } from "../../tooling/tsup.ts";

export default library({
  "device/index": "src/device/index.ts",
  "tensor/index": "src/tensor/index.ts",
  "ops/index": "src/ops/index.ts",
  "nn/index": "src/nn/index.ts",
  "moe/index": "src/moe/index.ts",
  "decode/index": "src/decode/index.ts",
  "optim/index": "src/optim/index.ts",
  "io/index": "src/io/index.ts",
  "train/index": "src/train/index.ts",
  "device/gpu.node": "src/device/gpu.node.ts",
  "device/gpu.browser": "src/device/gpu.browser.ts",
  "device/host.node": "src/device/host.node.ts",
  "device/host.browser": "src/device/host.browser.ts",
});
