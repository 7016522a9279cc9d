// Run by checkpoint-save.slow.test.ts: saves checkpoints 1, 2, 3, ... into the folder given until it is killed.
import { saveCheckpoint } from "../../src/io/index.ts";

const folder = process.argv[2] as string;
for (let step = 1; ; step++) {
  await saveCheckpoint(folder, {
    config: { step },
    tensors: Array.from({ length: 4 }, (_, i) => ({
      name: `w${i}`,
      dtype: "F32",
      shape: [1000],
      data: new Float32Array(1000).fill(step),
    })),
  });
  if (step === 1) console.log("saved");
}
