import type { TrainingStep } from "@moebius/runtime/train";

/** One line every ten steps, for the log of a long run. */
export function report({
  step,
  loss,
  parts,
  gradientNorm,
  tokensPerSecond,
  secondsLeft,
  expertLoad,
}: TrainingStep): void {
  if (step % 10 !== 0) return;
  const numbers = Object.entries(parts).map(([name, value]) => `${name} ${value.toFixed(4)}`);
  console.log(
    `step ${step} loss ${loss.toFixed(4)} ${numbers.join(" ")} norm ${gradientNorm.toFixed(2)} ${tokensPerSecond.toFixed(0)} tokens/s, ${(secondsLeft / 60).toFixed(0)} min left`,
  );
  if (expertLoad && step % 50 === 0) console.log(expertLoad.map((load) => load.join(" ")).join(" | "));
}
