import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test, vi } from "vitest";
import { labCommand, labNames } from "../../src/lab/lab-command.ts";

const folder = await mkdtemp(path.join(tmpdir(), "moebius-lab-"));
afterAll(() => rm(folder, { recursive: true }));

/** When each finished run was written. */
async function writtenAt(runs: string): Promise<string[]> {
  const files = (await readdir(runs, { recursive: true })).filter((name) => name.endsWith(".json")).sort();
  return Promise.all(files.map(async (name) => `${name} ${(await stat(path.join(runs, name))).mtimeMs}`));
}

test("every experiment runs, is written down, and is not run again", async () => {
  const data = path.join(folder, "data", "tinyshakespeare");
  await mkdir(data, { recursive: true });
  const text = Array.from({ length: 3000 }, (_, i) => `To be, or not to be: ${i} is the question.\n`).join("");
  await writeFile(path.join(data, "input.txt.gz"), gzipSync(text));
  const claims = path.join(folder, "docs", "claims.md");
  const options = { seeds: 1, steps: 10, data: path.dirname(data), folder: path.join(folder, "runs"), claims };
  const lines = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const cwd = process.cwd();
  process.chdir(path.join(import.meta.dirname, "../../../..")); // one experiment reads the sources of the repository
  try {
    await labCommand("gates", { ...options, quiet: true });
    const sections = [...(await readFile(claims, "utf8")).matchAll(/^## (.*)$/gm)].map(([, name]) => name);
    expect(sections).toEqual(labNames.filter((name) => !["gates", "gaussian"].includes(name)).sort());
    expect(existsSync(path.join(folder, "docs", "gates.png"))).toBe(true);
    const finished = await writtenAt(options.folder);
    expect(finished.length).toBeGreaterThan(labNames.length);
    await labCommand("gates", { ...options, quiet: true });
    expect(await writtenAt(options.folder)).toEqual(finished);
    await expect(labCommand("nothing", options)).rejects.toThrow('no system "nothing"; there are adamoe');
  } finally {
    process.chdir(cwd);
    lines.mockRestore();
  }
});
