import { formatDuration } from "./duration.ts";
import { drawBar } from "./progress-bar.ts";

/** What long work reports. Packages emit plain objects of this shape and need not import it. */
export interface ProgressEvent {
  /** What is being done: "download", "train", "forecast". A new name begins a new bar. */
  readonly stage: string;
  /** Units finished, from 0 or, when work resumes, from where it resumes. */
  readonly done: number;
  /** Units in all; left out while unknown. */
  readonly total?: number | undefined;
  /** A few words that change along the way: "loss 0.412". */
  readonly note?: string | undefined;
}

/** Draws progress on stderr, never on stdout. Declare it with `using`, so that an error ends the bar before its message. */
export interface Progress extends Disposable {
  /** Takes the next event; a bound function that can be passed on as a callback. */
  readonly report: (event: ProgressEvent) => void;
  /** Prints one line above the progress: which adapter runs, what was filled in. */
  readonly say: (line: string) => void;
  /** Finishes the current bar or prints the last line. Events after it begin anew. */
  readonly end: () => void;
}

export interface ProgressStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface CreateProgressOptions {
  /** Draws nothing: for --quiet and --json. */
  readonly quiet?: boolean | undefined;
  readonly stream?: ProgressStream;
  /** Least time between two lines where there is no terminal. Default 5000. */
  readonly lineIntervalMs?: number;
  readonly nowMs?: () => number;
}

interface Stage {
  readonly startMs: number;
  readonly startDone: number;
  readonly show: (event: ProgressEvent, text: string) => void;
  readonly close: () => void;
  last: ProgressEvent;
}

/** A bar that redraws itself in a terminal; elsewhere a line when a stage begins, every few seconds, and at its end. */
export function createProgress(options: CreateProgressOptions = {}): Progress {
  const { quiet = false, stream = process.stderr, lineIntervalMs = 5_000, nowMs = Date.now } = options;
  const lines = lineWriter(stream, lineIntervalMs, nowMs);
  let stage: Stage | undefined;

  const end = () => {
    stage?.close();
    stage = undefined;
  };
  const report = (event: ProgressEvent) => {
    if (quiet) return;
    if (stage === undefined || stage.last.stage !== event.stage || event.done < stage.last.done) {
      end();
      const drawing = stream.isTTY === true ? drawBar(stream) : lines();
      stage = { startMs: nowMs(), startDone: event.done, ...drawing, last: event };
    }
    stage.last = event;
    stage.show(event, describe(event, nowMs() - stage.startMs, stage.startDone));
    if (event.total !== undefined && event.done >= event.total) end();
  };
  const say = (line: string) => {
    if (quiet) return;
    end();
    stream.write(`${line}\n`);
  };
  return { report, say, end, [Symbol.dispose]: end };
}

/** Lines instead of a bar, at most one an interval whatever the stage, and the last one of each stage. */
function lineWriter(stream: ProgressStream, intervalMs: number, nowMs: () => number) {
  let writtenMs = -Infinity;
  return () => {
    let pending: string | undefined;
    const write = (line: string) => {
      stream.write(`${line}\n`);
      writtenMs = nowMs();
      pending = undefined;
    };
    return {
      show: (event: ProgressEvent, text: string) => {
        pending = `${event.stage}: ${text}`;
        if (nowMs() - writtenMs >= intervalMs) write(pending);
      },
      close: () => {
        if (pending !== undefined) write(pending);
      },
    };
  };
}

/** "120/1000, 12 %, 3 min 05 s left, loss 0.412"; the time left assumes the mean pace since the stage began. */
function describe({ done, total, note }: ProgressEvent, elapsedMs: number, startDone: number): string {
  const parts = [total === undefined ? `${done}` : `${done}/${total}`];
  if (total !== undefined && total > 0) {
    parts.push(`${Math.floor((100 * Math.min(done, total)) / total)} %`);
    if (done >= total) parts.push(`in ${formatDuration(elapsedMs)}`);
    else if (done > startDone) parts.push(`${formatDuration((elapsedMs / (done - startDone)) * (total - done))} left`);
  }
  if (note) parts.push(note);
  return parts.join(", ");
}
