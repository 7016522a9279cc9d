import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { testDevice } from "@moebius/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { fastest, measurePeer, type Peer } from "../../src/cases/peers.ts";

const device = await testDevice();

describe("fastest", () => {
  test("takes the shortest time of a pass, of the set-up that counts", () => {
    const lines = [
      { case: "matmul 512x512x512", ms: 1, threads: 2 },
      { case: "moe_fwd loop", ms: 9, threads: 2 },
      { case: "moe_fwd dense-mask", ms: 7, threads: 2 },
      { case: "moe_fwd fused", ms: null, threads: 2 },
      { case: "moe_fwd loop", ms: 3, threads: 1 },
      { case: "moe_fwd_bwd dense-mask", ms: 30, threads: 2 },
    ];
    expect(fastest(lines, { threads: 2 })).toEqual({ forward: 7, training: 30 });
    expect(fastest(lines, {})).toEqual({ forward: 3, training: 30 });
    expect(fastest(lines, { except: /loop/ })).toEqual({ forward: 7, training: 30 });
    expect(fastest([], {})).toEqual({ forward: undefined, training: undefined });
  });
});

describe("measurePeer", () => {
  let root = "";
  let folder = "";
  beforeAll(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), "moebius-peers-"));
    folder = path.join(root, "peers");
    vi.stubEnv("SCRATCH", path.join(root, "scratch"));
    await mkdir(path.join(folder, "slow/node_modules"), { recursive: true }); // nothing to install
    await writeFile(
      path.join(folder, "common.mjs"),
      "export const line = (ms) => JSON.stringify({ case: 'moe_fwd loop', ms });",
    );
    await writeFile(
      path.join(folder, "slow/bench.mjs"),
      "import { line } from '../common.mjs'; console.log('a notice'); console.log(line(1e6 * process.argv[2]));",
    );
    await mkdir(path.join(folder, "silent/node_modules"), { recursive: true });
    await writeFile(path.join(folder, "silent/bench.mjs"), "console.log('no adapter');");
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(root, { recursive: true });
  });

  const said: string[] = [];
  const measured = (peer: Pick<Peer, "folder" | "args">) =>
    measurePeer(device, { name: "a peer", goals: {}, ...peer }, { folder, rounds: 1, say: (line) => said.push(line) });

  test("runs it in a process of its own and reports how much faster we are", async () => {
    const rows = await measured({ folder: "slow", args: ["2"] });
    expect(rows).toHaveLength(1);
    const [row] = rows;
    expect(row).toMatchObject({ case: "MoE layer forward T256 D256 H512 E8 k2", reference: "a peer" });
    expect((row?.ratio ?? 0) * (row?.ms ?? 0)).toBeCloseTo(2e6, -4);
  });

  test("a peer that is not there, or measures nothing, is left out with a reason", async () => {
    expect(await measured({ folder: "absent" })).toEqual([]);
    expect(await measured({ folder: "silent" })).toEqual([]);
    expect(said).toEqual([
      `a peer: left out, there is no ${path.join(folder, "absent")}`,
      expect.stringContaining("a peer: left out, it measured no layer"),
    ]);
  });
});
