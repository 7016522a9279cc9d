import cliProgress from "cli-progress";
import type { ProgressEvent } from "./progress.ts";

const barWidthColumns = 24;

/** A redraw timer that keeps no finished or failed program alive. */
class IdleBar extends cliProgress.SingleBar {
  override render(): void {
    super.render();
    (this as unknown as { timer: NodeJS.Timeout }).timer.unref();
  }
}

/** One bar in a terminal: "train ██████░░░░ 120/1000, 12 %, 3 min 05 s left, loss 0.412", cut to the terminal's width. */
export function drawBar(stream: NodeJS.WritableStream) {
  const bar = new IdleBar({
    stream,
    barsize: barWidthColumns,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    linewrap: true, // cuts the line itself; false would switch the terminal's wrapping off and leave it off when killed
    gracefulExit: false, // the program decides what SIGINT means: training writes a checkpoint first
    emptyOnZero: true,
    format: (options, { progress }, { stage, text, total }) =>
      total === undefined ? `${stage} ${text}` : `${stage} ${cliProgress.Format.BarFormat(progress, options)} ${text}`,
  });
  return {
    show: (event: ProgressEvent, text: string) => {
      const payload = { stage: event.stage, text, total: event.total };
      if (!bar.isActive) bar.start(event.total ?? 0, event.done, payload);
      else {
        bar.setTotal(event.total ?? 0);
        bar.update(event.done, payload);
      }
    },
    close: () => bar.stop(),
  };
}
