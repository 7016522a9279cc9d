import { Tape } from "@moebius/runtime/ops";
import { scope, type Tensor } from "@moebius/runtime/tensor";
import type { Run } from "./bench-case.ts";

type F32 = Tensor<"f32">;

/** The backward pass by itself: the forward pass is its setup. */
export function backwardOf(watched: readonly Tensor[], forward: () => F32, seed: F32): { setup: Run; run: Run } {
  const pending: { tape: Tape; y: F32 }[] = [];
  return {
    setup: () => {
      const tape = new Tape(watched);
      pending.push({ tape, y: scope(() => tape.run(forward)) });
    },
    run: () => {
      const { tape, y } = pending.shift() as { tape: Tape; y: F32 };
      for (const gradient of tape.backward(y, seed).values()) gradient.dispose();
      y.dispose();
    },
  };
}
