import type { DeviceDescription, HostDescription } from "@moebius/runtime/device";
import type { SelfTestResult } from "@moebius/runtime/ops";
import type { Command } from "commander";
import { addExamples, type SharedOptions } from "./command.ts";
import { printJson } from "./output.ts";
import { createProgress } from "./progress.ts";
import { printTable } from "./table.ts";

interface Diagnosis {
  readonly host: HostDescription;
  readonly device: DeviceDescription;
  readonly hints: readonly string[];
  readonly selfTest: readonly SelfTestResult[];
  readonly passed: boolean;
}

/** Adds the subcommand `doctor` to a program. Its exit code is 1 when a kernel family disagrees with float64. */
export function doctorCommand(program: Command): void {
  const command = program
    .command("doctor")
    .description("say which adapter computes and what it can do, and check every kernel family against float64")
    .action(async (_options, command: Command) => {
      const { json = false, quiet = false } = command.optsWithGlobals<SharedOptions>();
      const diagnosis = await diagnose(json || quiet);
      if (json) printJson(diagnosis);
      else printDiagnosis(diagnosis);
      if (!diagnosis.passed) process.exitCode = 1;
    });
  addExamples(command, [
    { command: `${program.name()} doctor`, does: "check this machine" },
    { command: `MOEBIUS_ADAPTER=software ${program.name()} doctor`, does: "check the system's software adapter" },
  ]);
}

async function diagnose(quiet: boolean): Promise<Diagnosis> {
  // Loaded here, so that the other subcommands start without all kernels.
  const [{ describeHost, requestDevice }, ops] = await Promise.all([
    import("@moebius/runtime/device"),
    import("@moebius/runtime/ops"),
  ]);
  const host = await describeHost();
  using progress = createProgress({ quiet });
  using device = await requestDevice({ onNotice: progress.say });
  let done = 0;
  const selfTest = await ops.selfTest(device, ({ family }) =>
    progress.report({ stage: "self-test", done: ++done, note: family }),
  );
  const description = device.describe();
  return {
    host,
    device: description,
    hints: hintsFor(host, description),
    selfTest,
    passed: selfTest.every(({ ok }) => ok),
  };
}

/** What the user can do for a faster adapter. */
export function hintsFor({ platform, vulkanLoader, requestedAdapter }: HostDescription, device: DeviceDescription) {
  const hints: string[] = [];
  const { adapterClass } = device;
  const isLinux = platform.startsWith("linux");
  if (vulkanLoader === false)
    hints.push("The system has no Vulkan loader (libvulkan.so.1): Debian and Ubuntu have it in libvulkan1.");
  if (adapterClass !== "hardware") {
    if (isLinux)
      hints.push(
        "With a GPU, install its Vulkan driver: NVIDIA's own (in a container with NVIDIA_DRIVER_CAPABILITIES=all), " +
          "or mesa-vulkan-drivers for AMD and Intel.",
      );
    else if (platform.startsWith("win32")) hints.push("With a GPU, install its maker's driver with Direct3D 12.");
  }
  if (isLinux && adapterClass === "embedded")
    hints.push(
      "Without a GPU, mesa-vulkan-drivers of Mesa 25 or later computes 2.5 to 4 times faster than the embedded adapter.",
    );
  hints.push(
    `MOEBIUS_ADAPTER=hardware, software or embedded chooses the adapter; it is ${requestedAdapter ?? "not set: the best one is taken"}.`,
  );
  return hints;
}

function printDiagnosis({ host, device, hints, selfTest, passed }: Diagnosis): void {
  const say = (line = "") => process.stdout.write(`${line}\n`);
  const { limits } = device;
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const facts: [string, string][] = [
    ["adapter", device.adapter],
    ["class", device.adapterClass],
    ["system", host.platform],
    ["memory budget", mib(device.memoryBudgetBytes)],
    ["largest buffer", mib(limits.maxBufferBytes)],
    ["largest binding", mib(limits.maxBindingBytes)],
    ["a workgroup", `${limits.maxInvocations} invocations, ${limits.maxWorkgroupBytes / 1024} KiB`],
    ["bindings", `${limits.maxStorageBuffers} storage buffers`],
    ["subgroups", device.subgroupSize > 0 ? `of ${device.subgroupSize}` : "none of one fixed size"],
    ["features", [...device.features, ...(device.immediates ? ["immediates"] : [])].join(", ")],
  ];
  for (const [name, value] of facts) say(`${name.padEnd(16)}${value}`);
  say();
  for (const hint of hints) say(hint);
  say();
  printTable(
    [
      { header: "kernels" },
      { header: "error" },
      { header: "tolerance" },
      { header: "" },
      { header: "ms", decimals: 0 },
    ],
    selfTest.map(({ family, error, tolerance, ok, ms, problem }) => [
      family,
      Number.isNaN(error) ? "-" : error === 0 ? "0" : error.toExponential(1),
      tolerance === 0 ? "exact" : tolerance.toExponential(0),
      ok ? "ok" : (problem ?? "WRONG"),
      ms,
    ]),
  );
  say();
  const failed = selfTest.filter(({ ok }) => !ok).length;
  say(
    passed
      ? `All ${selfTest.length} checks agree with float64.`
      : `${failed} of ${selfTest.length} checks failed: results of this adapter are not to be trusted.`,
  );
}
