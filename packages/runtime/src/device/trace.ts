import { writeAtomically } from "#host";
import type { ProfileReport } from "./profile.ts";

/**
 * Writes the events of a profile in the trace format that chrome://tracing and ui.perfetto.dev open.
 * @param file a path; in the browser, of the page's own file system
 */
export async function writeTrace(report: ProfileReport, file: string): Promise<void> {
  const traceEvents = report.events.map(({ kernel, label, startMs, durationMs }) => ({
    name: kernel,
    cat: "kernel",
    ph: "X", // a complete event: begin and duration in microseconds
    ts: 1000 * startMs,
    dur: 1000 * durationMs,
    pid: 1,
    tid: 1,
    args: { label },
  }));
  const text = JSON.stringify({ displayTimeUnit: "ms", traceEvents });
  await writeAtomically(file, [new TextEncoder().encode(text)]);
}
