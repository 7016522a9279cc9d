import { defineKernel, grid1d } from "@moebius/runtime/device";
import { Parameter, zeros } from "@moebius/runtime/nn";
import { ones } from "@moebius/runtime/ops";
import { adamw } from "@moebius/runtime/optim";
import { scope, type Tensor } from "@moebius/runtime/tensor";
import type { BenchCase } from "./bench-case.ts";
import copyCode from "./copy-kernel.wgsl";

const copyKernel = defineKernel("copy-kernel", copyCode);
/** Won on lavapipe, of 1 to 16. */
const COPY_QUADS = 4;

const NUM_TENSORS = 10;
const SHAPE = [1000, 1000];
/** Parameter, gradient and two moments are read; all but the gradient are written. */
const BYTES = 28 * NUM_TENSORS * 1e6;
/** As one copy, the bytes would pass the largest binding of a software adapter. */
const COPIES = 2;

function copyByKernel(source: Tensor<"f32">, target: Tensor<"f32">): void {
  const quads = source.size / 4;
  source.device.dispatch({
    kernel: copyKernel,
    defines: { QUADS: COPY_QUADS },
    bindings: [source.binding(), target.binding()],
    params: { quads },
    grid: grid1d(quads, 64 * COPY_QUADS),
  });
}

const adamwCase: BenchCase = {
  name: "AdamW, 10 M parameters in 10 tensors",
  prepare(device) {
    const parameters = new Map<string, Parameter>();
    const gradients = new Map<Tensor, Tensor<"f32">>();
    for (let i = 0; i < NUM_TENSORS; i++) {
      const parameter = new Parameter(device, SHAPE, zeros);
      parameter.write(new Float32Array(parameter.size).fill(0.5));
      parameters.set(`${i}`, parameter);
      gradients.set(parameter, ones(device, SHAPE, "f32"));
    }
    const optimizer = adamw({ learningRate: 1e-6 }).bind(parameters);
    const [source, target] = [0, 1].map(() => ones(device, [BYTES / 8 / COPIES], "f32")) as [
      Tensor<"f32">,
      Tensor<"f32">,
    ];
    const copies = (copy: () => void) => () => {
      for (let i = 0; i < COPIES; i++) copy();
    };
    const work = { bytes: BYTES };
    return {
      run: () => scope(() => void optimizer.step(gradients, 0, 1)),
      work,
      references: [
        { name: "copy kernel, the same bytes", run: copies(() => copyByKernel(source, target)), work, goal: 0.6 },
        {
          name: "buffer copy, the same bytes",
          run: copies(() => device.copy(source.binding(), target.binding())),
          work,
        },
      ],
      owned: [optimizer, source, target, ...parameters.values(), ...gradients.values()],
    };
  },
};

export const optimizerCases = [adamwCase];
