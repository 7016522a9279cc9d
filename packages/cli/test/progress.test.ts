import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { createProgress, formatDuration } from "../src/index.ts";

function captured(extra: object = {}) {
  const stream = Object.assign(new PassThrough(), extra);
  return { stream, text: () => String(stream.read() ?? "") };
}

describe("createProgress without a terminal", () => {
  test("writes a line at the start, then at most one an interval, and the last", () => {
    let clockMs = 0;
    const { stream, text } = captured();
    using progress = createProgress({ stream, lineIntervalMs: 5_000, nowMs: () => clockMs });
    for (let done = 0; done <= 10; done++) {
      progress.report({ stage: "train", done, total: 10, note: `loss ${10 - done}` });
      clockMs += 1_000;
    }
    expect(text().split("\n")).toEqual([
      "train: 0/10, 0 %, loss 10",
      "train: 5/10, 50 %, 5.0 s left, loss 5",
      "train: 10/10, 100 %, in 10 s, loss 0",
      "",
    ]);
  });

  test("resumed work estimates from where it resumed", () => {
    let clockMs = 0;
    const { stream, text } = captured();
    using progress = createProgress({ stream, lineIntervalMs: 0, nowMs: () => clockMs });
    progress.report({ stage: "train", done: 500, total: 1000 });
    clockMs = 10_000;
    progress.report({ stage: "train", done: 600, total: 1000 });
    expect(text()).toContain("train: 600/1000, 60 %, 40 s left\n");
  });

  test("the end prints what an interval held back", () => {
    const { stream, text } = captured();
    const progress = createProgress({ stream, nowMs: () => 0 });
    progress.report({ stage: "read", done: 1 });
    progress.report({ stage: "read", done: 2 });
    progress.end();
    expect(text()).toBe("read: 1\nread: 2\n");
  });

  test("quiet means silent", () => {
    const { stream, text } = captured();
    using progress = createProgress({ stream, quiet: true });
    progress.report({ stage: "train", done: 1, total: 1 });
    progress.say("hello");
    expect(text()).toBe("");
  });
});

describe("createProgress in a terminal", () => {
  test("redraws one bar, cut to the terminal's width, and ends it with a new line", () => {
    let clockMs = 0;
    const { stream, text } = captured({
      isTTY: true,
      columns: 60,
      cursorTo: () => true,
      clearLine: () => true,
      moveCursor: () => true,
    });
    using progress = createProgress({ stream, nowMs: () => clockMs });
    progress.report({ stage: "train", done: 0, total: 4 });
    clockMs = 3_000;
    progress.report({ stage: "train", done: 4, total: 4, note: "loss 0.1".padEnd(200, "1") });
    const drawn = text();
    expect(drawn).toContain(`train ${"░".repeat(24)} 0/4, 0 %`);
    expect(drawn).toContain(`train ${"█".repeat(24)} 4/4, 100 %, in 3.0 s, loss`);
    expect(drawn.endsWith("\n")).toBe(true);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the terminal's own escape codes
    const frames = drawn.split(/\u001b\[?[\d;]*[A-Za-z78]|\n/);
    expect(Math.max(...frames.map((frame) => frame.length))).toBeLessThanOrEqual(60);
  });
});

describe("formatDuration", () => {
  test.each([
    [400, "0.4 s"],
    [9_949, "9.9 s"],
    [9_960, "10 s"],
    [59_600, "1 min 00 s"],
    [185_000, "3 min 05 s"],
    [7_800_000, "2 h 10 min"],
  ])("%d ms is %s", (durationMs, text) => expect(formatDuration(durationMs)).toBe(text));
});
