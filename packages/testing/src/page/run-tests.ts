import { startTests, type Task, type VitestRunner } from "@vitest/runner";
import { testDevice } from "../device.ts";

/** One test of a page's run, with its describes and its file before its name. */
export interface PageTest {
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped";
  readonly milliseconds: number;
  readonly error: string | undefined;
}

export interface PageReport {
  /** of the device that the tests shared */
  readonly adapter: string;
  readonly tests: readonly PageTest[];
}

const TEST_TIMEOUT_MS = 60_000;

const CONFIG: VitestRunner["config"] = {
  root: "/",
  setupFiles: [],
  name: undefined,
  passWithNoTests: false,
  testNamePattern: undefined,
  allowOnly: false,
  sequence: { seed: 1, hooks: "stack", setupFiles: "list" },
  chaiConfig: undefined,
  maxConcurrency: 1,
  testTimeout: TEST_TIMEOUT_MS,
  hookTimeout: TEST_TIMEOUT_MS,
  retry: 0,
  includeTaskLocation: false,
  tags: [],
  tagsFilter: undefined,
  strictTags: false,
};

/** Runs test files in the page, one after the other. `files` maps the name of each to what imports it. */
export async function runTests(files: Readonly<Record<string, () => Promise<unknown>>>): Promise<PageReport> {
  const tests: PageTest[] = [];
  for (const [name, load] of Object.entries(files)) {
    const runner: VitestRunner = {
      config: CONFIG,
      importFile: async () => void (await load()),
      onTestAnnotate: async (_test, annotation) => annotation,
    };
    for (const file of await startTests([`/${name}`], runner)) report(file, name, tests);
  }
  return { adapter: (await testDevice()).describe().adapter, tests };
}

function report(task: Task, name: string, tests: PageTest[]): void {
  const error = task.result?.errors?.map(({ message, stack }) => stack ?? message).join("\n");
  // Of a suite: its file does not load, or a hook failed.
  if (task.type === "test" || error !== undefined)
    tests.push({ name, state: stateOf(task), milliseconds: task.result?.duration ?? 0, error });
  if (task.type === "suite") for (const inner of task.tasks) report(inner, `${name} > ${inner.name}`, tests);
}

function stateOf({ mode, result }: Task): PageTest["state"] {
  if (mode === "skip" || mode === "todo" || result?.state === "skip") return "skipped";
  return result?.state === "pass" ? "passed" : "failed";
}
