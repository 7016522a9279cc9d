import type { Device, ProfileReport } from "@moebius/runtime/device";
import type { Command } from "commander";
import { checkOutputFile } from "./output.ts";
import type { Progress } from "./progress.ts";
import { formatTable } from "./table.ts";

/** Kernels that the table shows; the trace has all. */
const MAX_KERNELS = 12;

/** Adds `--profile` to a command that computes; its action wraps its work in `profiled`. */
export function addProfileOption(command: Command): Command {
  return command.option(
    "--profile <file>",
    "write what the kernels do as a .json trace for ui.perfetto.dev or chrome://tracing, and print where the time goes",
  );
}

/** Refuses a bad `--profile` before any work. @throws {UserError} */
export async function checkProfileFile(file: string | undefined): Promise<void> {
  if (file !== undefined) await checkOutputFile("--profile", file, ["json"]);
}

/**
 * Does the work; with a `file` its kernels are measured, written there as a trace, and a table of them goes to standard error, so
 * that standard output holds the result alone. Measuring slows the work down a little.
 */
export async function profiled<T>(
  { device, file, progress }: { device: Device; file: string | undefined; progress: Progress },
  work: () => Promise<T>,
): Promise<T> {
  if (file === undefined) return work();
  // Loaded here, so that commands start without the kernels.
  const [{ profile, writeTrace }, { measureLimits }] = await Promise.all([
    import("@moebius/runtime/device"),
    import("@moebius/runtime/ops"),
  ]);
  const limits = await measureLimits(device);
  const results: T[] = [];
  const report = await profile(device, async () => results.push(await work()), { limits });
  await writeTrace(report, file);
  progress.end();
  process.stderr.write(`${formatProfile(report)}\nThe trace is in ${file}; open it in ui.perfetto.dev\n`);
  return results[0] as T;
}

/** The most expensive kernels, and what the whole run took. */
export function formatProfile(report: ProfileReport): string {
  const { kernels, totalMs, dispatches, hostMs, jsMicrosecondsPerDispatch, pipelines, compileMs, peakBytes } = report;
  const percent = (part: number) => `${(100 * part).toFixed(0)} %`;
  const table = formatTable(
    [
      { header: "kernel" },
      { header: "calls" },
      { header: "ms", decimals: 1 },
      { header: "of all" },
      { header: "Gflop/s", decimals: 1 },
      { header: "GB/s", decimals: 1 },
      { header: "of the limit" },
    ],
    kernels
      .slice(0, MAX_KERNELS)
      .map(({ kernel, calls, ms, gflops, gbps, share }) => [
        kernel,
        calls,
        ms,
        percent(ms / totalMs),
        gflops || null,
        gbps || null,
        share ? percent(share) : null,
      ]),
  );
  return [
    table,
    `kernels ${totalMs.toFixed(1)} ms in ${dispatches} dispatches; JavaScript ${hostMs.toFixed(1)} ms, ` +
      `${jsMicrosecondsPerDispatch.toFixed(0)} µs a dispatch`,
    `${pipelines} pipelines compiled in ${compileMs.toFixed(0)} ms; at most ${(peakBytes / 2 ** 20).toFixed(1)} MiB in use`,
  ].join("\n");
}
