import type { Module, Parameter } from "../../src/nn/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

type F32 = Tensor<"f32">;

/** Makes one op of x and all parameters of a module, in their order: the tensors stand in for the parameters. */
export function moduleAsOp(module: Module, forward: (x: F32) => F32): (...inputs: F32[]) => F32 {
  const parameters = [...module.parameters().values()];
  return (x, ...values) =>
    withParameters(
      module,
      (parameter) => values[parameters.indexOf(parameter)],
      () => forward(x as F32),
    );
}

/** Runs `fn` with every parameter of a module, at any depth, replaced by the tensor that stands for it. */
function withParameters<T>(part: Module, stand: (parameter: Parameter) => F32 | undefined, fn: () => T): T {
  const restore: (() => void)[] = [];
  const visit = (owner: object) => {
    for (const [name, value] of Object.entries(owner)) {
      if (typeof value !== "object" || value === null || value === part.device) continue;
      const replacement = stand(value as Parameter);
      if (!replacement) {
        if ("parameters" in value || Array.isArray(value)) visit(value);
        continue;
      }
      Object.assign(owner, { [name]: replacement });
      restore.push(() => Object.assign(owner, { [name]: value }));
    }
  };
  visit(part);
  try {
    return fn();
  } finally {
    for (const undo of restore) undo();
  }
}
