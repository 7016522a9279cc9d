import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { checkOutputFile, toCsv, UserError, writeAtomically } from "../src/index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moebius-output-"));
});

describe("writeAtomically", () => {
  test("replaces a file and leaves nothing else behind", async () => {
    const file = join(folder, "out.csv");
    await writeAtomically(file, "old");
    await writeAtomically(file, new TextEncoder().encode("new"));
    expect(await readFile(file, "utf8")).toBe("new");
    expect(await readdir(folder)).toEqual(["out.csv"]);
  });

  test("a failing write leaves the old file and no temporary one", async () => {
    const file = join(folder, "out.csv");
    await writeFile(file, "old");
    // a value that the file system rejects half way
    await expect(writeAtomically(file, { not: "text" } as unknown as string)).rejects.toThrow(TypeError);
    expect(await readFile(file, "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["out.csv"]);
  });

  test("a missing folder is the user's mistake", async () => {
    const file = join(folder, "missing", "out.csv");
    await expect(writeAtomically(file, "x")).rejects.toThrow(
      new UserError(`cannot write ${file}: its folder does not exist`),
    );
  });

  test("a folder in the file's place is the user's mistake", async () => {
    const file = join(folder, "out.csv");
    await mkdir(file);
    await expect(writeAtomically(file, "x")).rejects.toThrow(new UserError(`cannot write ${file}: it is a folder`));
    expect(await readdir(folder)).toEqual(["out.csv"]);
  });
});

describe("checkOutputFile", () => {
  const check = (name: string) => checkOutputFile("--output", join(folder, name), ["csv", "json"]);

  test("a name of a known kind in a folder that is there passes, and nothing is written", async () => {
    await check("out.CSV");
    expect(await readdir(folder)).toEqual([]);
  });

  test("another kind, a missing folder, a file or folder in the way are the user's mistakes", async () => {
    await writeFile(join(folder, "file"), "");
    await mkdir(join(folder, "folder.csv"));
    await expect(check("out.xlsx")).rejects.toThrow(/--output: ".*out.xlsx" must end in .csv or .json/);
    await expect(check("missing/out.csv")).rejects.toThrow("its folder does not exist");
    await expect(check("file/out.csv")).rejects.toThrow("a part of its path is not a folder");
    await expect(check("folder.csv")).rejects.toThrow("it is a folder");
  });
});

describe("toCsv", () => {
  test("quotes what needs quotes and keeps numbers exact", () => {
    const rows = [
      ["a,b", 0.1, null] as const,
      ['say "hi"', Number.NaN, new Date(0)] as const,
      ["two\nlines", -0.5, true] as const,
    ];
    expect(toCsv(["name", "x", "y"], rows)).toBe(
      'name,x,y\n"a,b",0.1,\n"say ""hi""",,1970-01-01T00:00:00.000Z\n"two\nlines",-0.5,true\n',
    );
  });
});
