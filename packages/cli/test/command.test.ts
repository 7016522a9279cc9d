import { describe, expect, test } from "vitest";
import { pipeFixture, runFixture } from "./fixtures/run-fixture.ts";

const runProgram = (...args: string[]) => runFixture("program.ts", args);

describe("run", () => {
  test("a finished action leaves exit code 0 and a silent stderr", () => {
    const { status, stdout, stderr } = runProgram("work", "data.csv", "--horizon", "24", "--json");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({ file: "data.csv", horizon: 24, json: true });
  });

  test("a user's mistake is one sentence on stderr and exit code 2", () => {
    expect(runProgram("mistake")).toEqual({
      status: 2,
      stdout: "",
      stderr: 'error: data.csv, line 7: expected a number, got "n/a"\n',
    });
  });

  test("an error of another package counts as a mistake when it says userFacing", () => {
    expect(runProgram("foreign-mistake")).toMatchObject({ status: 2, stderr: "error: the checkpoint is truncated\n" });
  });

  test("a bad option value names the option, what was expected and what came", () => {
    expect(runProgram("work", "data.csv", "--horizon", "ten")).toMatchObject({
      status: 2,
      stderr: 'error: --horizon: expected a whole number of at least 1, got "ten"\n',
    });
  });

  test("a mistyped option is a mistake and gets a suggestion", () => {
    expect(runProgram("work", "data.csv", "--horizn", "3")).toMatchObject({
      status: 2,
      stderr: "error: unknown option '--horizn' (Did you mean --horizon?)\n",
    });
  });

  test("any other error is a defect: message, notice and stack, exit code 1", () => {
    const { status, stderr } = runProgram("defect");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^error: undefined is not a tensor\nThis is a defect in fixture/);
    expect(stderr).toMatch(/at .*program\.ts:\d+/);
  });

  test("a reader that closes the pipe early is no error", () => {
    expect(pipeFixture("program.ts", ["flood"], "head -n 1")).toEqual({ status: 0, stdout: "line 0\n", stderr: "" });
  });
});

describe("createProgram", () => {
  test("--help shows the examples and goes to stdout with exit code 0", () => {
    const { status, stdout, stderr } = runProgram("--help");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("Examples:\n  # one day ahead\n  $ fixture work data.csv --horizon 24\n");
    expect(stdout).toContain("--json");
  });

  test("a missing subcommand shows the help on stderr with exit code 2", () => {
    const { status, stdout, stderr } = runProgram();
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^Usage: fixture/);
  });
});
