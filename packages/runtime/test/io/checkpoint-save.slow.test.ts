import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint, toFloat32 } from "../../src/io/index.ts";
import { random } from "./mutations.ts";
import { temporaryFolder } from "./temporary-folder.ts";

test("a process killed while it saves leaves a whole checkpoint, twenty times", async () => {
  const folder = `${await temporaryFolder()}/run`;
  const pick = random(5);
  const script = path.join(import.meta.dirname, "save-until-killed.ts");
  for (let round = 0; round < 20; round++) {
    const child = spawn(process.execPath, ["--conditions=@moebius/source", "--import", "tsx", script, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, pick(40)));
    child.kill("SIGKILL");
    await once(child, "exit");
    const checkpoint = await openCheckpoint(folder);
    const { step } = checkpoint.config as { step: number };
    for (const name of checkpoint.names()) {
      const values = toFloat32(await checkpoint.read(name));
      expect(values.every((value) => value === step)).toBe(true);
    }
    await checkpoint.close();
  }
}, 120_000);
