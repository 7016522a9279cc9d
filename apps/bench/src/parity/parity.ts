import { printJson, printTable, UserError } from "@moebius/cli";
import { type Device, requestDevice } from "@moebius/runtime/device";
import type { Comparison } from "./compare.ts";
import { Golden } from "./golden.ts";
import type { ParitySystem } from "./system.ts";
import { adaMoe } from "./systems/adamoe.ts";
import { decoders } from "./systems/decoder.ts";
import { gatesComet, gatesDSelectK } from "./systems/gates-comet.ts";
import { gatesDts } from "./systems/gates-dts.ts";
import { gatesExpertChoice } from "./systems/gates-expert-choice.ts";
import { gatesGShard } from "./systems/gates-gshard.ts";
import { gatesSmoeDropout } from "./systems/gates-smoe-dropout.ts";
import { gatesSwitch } from "./systems/gates-switch.ts";
import { gatesVMoe } from "./systems/gates-v-moe.ts";
import { momentumLayers, momentumModel } from "./systems/momentum.ts";
import { preGated } from "./systems/pre-gated.ts";
import { timeMoe } from "./systems/time-moe.ts";
import { unionOfExperts } from "./systems/union-of-experts.ts";

const SYSTEMS: readonly ParitySystem[] = [
  adaMoe,
  ...decoders,
  gatesComet,
  gatesDSelectK,
  gatesDts,
  gatesExpertChoice,
  gatesGShard,
  gatesSmoeDropout,
  gatesSwitch,
  gatesVMoe,
  momentumLayers,
  momentumModel,
  timeMoe,
  preGated,
  unionOfExperts,
];

export interface ParityReport {
  folder: string;
  system: string;
  adapter: string;
  comparisons: Comparison[];
  /** Stored tensors that were neither used nor compared. */
  untouched: string[];
  passed: boolean;
}

/** Runs our models on golden folders. @throws {UserError} for a folder that no system recognises */
export async function runParity(folders: readonly string[]): Promise<ParityReport[]> {
  using device = await requestDevice();
  const reports: ParityReport[] = [];
  for (const folder of folders) reports.push(await runGolden(folder, device));
  return reports;
}

/** Runs our model on one golden folder. @throws {UserError} when no system recognises it */
export async function runGolden(folder: string, device: Device): Promise<ParityReport> {
  const golden = await Golden.open(folder);
  const system = SYSTEMS.find((candidate) => candidate.recognises(golden));
  if (!system)
    throw new UserError(
      `${folder}: no system recognises model_type "${String(golden.config.model_type)}" or the folder's name; known: ${SYSTEMS.map(({ name }) => name).join(", ")}`,
    );
  await system.run(golden, device);
  const { comparisons } = golden;
  return {
    folder,
    system: system.name,
    adapter: device.describe().adapter,
    comparisons,
    untouched: golden.untouched(),
    passed: comparisons.length > 0 && comparisons.every((comparison) => comparison.passed),
  };
}

export function printParity(reports: readonly ParityReport[], json: boolean): void {
  if (json) {
    printJson(reports);
    return;
  }
  for (const { folder, system, comparisons, untouched, passed } of reports) {
    console.log(`\n${folder} (${system})`);
    printTable(
      [
        { header: "tensor" },
        { header: "max abs" },
        { header: "max rel" },
        { header: "cosine" },
        { header: "tolerance" },
        { header: "" },
      ],
      comparisons.map(({ name, maxAbsolute, maxRelative, cosine, tolerance, passed }) => [
        name,
        maxAbsolute.toExponential(1),
        maxRelative.toExponential(1),
        cosine.toFixed(7),
        tolerance,
        passed ? "ok" : "FAIL",
      ]),
    );
    if (untouched.length > 0) console.log(`neither used nor compared: ${untouched.join(", ")}`);
    const failed = comparisons.filter((comparison) => !comparison.passed).length;
    console.log(
      passed
        ? `${comparisons.length} tensors agree`
        : `${failed} of ${comparisons.length} tensors are beyond their tolerance`,
    );
  }
}
