import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { hasShared, sharedPath, testDevice } from "@moebius/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { type ParityReport, runGolden } from "../../src/parity/parity.ts";
import { type GoldenCase, writeGolden } from "./write-golden.ts";

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "moebius-parity-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const failures = ({ comparisons }: ParityReport) => comparisons.filter(({ passed }) => !passed);
const compared = ({ comparisons }: ParityReport) => comparisons.map(({ name }) => name);

describe("the reference implementation's outputs", () => {
  test.skipIf(!hasShared).for(["time-moe-small", "time-moe-bf16"])("%s", async (name) => {
    const report = await runGolden(sharedPath(`goldens/${name}`), await testDevice());
    expect(failures(report)).toEqual([]);
    expect(report.untouched).toEqual([]);
  });
});

/** Cases of the same layout in other corners of the configuration, made by the float64 reference beside this file. */
const CASES: Record<string, GoldenCase> = {
  "dense, head size 6, without optional keys, with position_ids": {
    config: {
      hidden_size: 12,
      intermediate_size: 20,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      use_dense: true,
      horizon_lengths: [2, 6],
    },
    seed: 1,
    length: 14,
    positionIds: true,
    gradients: ["model.norm.weight", "model.layers.0.self_attn.k_proj.bias", "lm_heads.0.out_layer.weight"],
    forecast: { context: 12, horizon: 15 },
  },
  "k = 3 of 5, grouped key/value heads, an uneven share of the intermediate size, all masks, two shards": {
    config: {
      hidden_size: 16,
      intermediate_size: 20,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      num_experts: 5,
      num_experts_per_tok: 3,
      horizon_lengths: [1, 3, 12],
      router_aux_loss_factor: 0.1,
      rope_theta: 100,
    },
    seed: 2,
    length: 14,
    padding: [0, 5],
    lossMasks: true,
    gradients: [
      "model.embed_layer.gate_layer.weight",
      "model.layers.0.ffn_layer.gate.weight",
      "model.layers.1.ffn_layer.shared_expert_gate.weight",
      "model.layers.1.self_attn.q_proj.bias",
    ],
    forecast: { context: 12, horizon: 17 },
    weights: "sharded",
  },
  "one of 48 experts, 70 points, one layer, one head of 4, float16 weights": {
    config: {
      hidden_size: 16,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 8,
      num_key_value_heads: 1,
      num_experts: 48,
      num_experts_per_tok: 1,
      horizon_lengths: 4,
      apply_aux_loss: true,
    },
    seed: 3,
    length: 70,
    padding: [3, 0],
    gradients: ["model.layers.0.post_attention_layernorm.weight"],
    forecast: { context: 12, horizon: 6 },
    weights: "float16",
  },
  "all of two experts": {
    config: {
      hidden_size: 16,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_experts: 2,
      num_experts_per_tok: 2,
      horizon_lengths: [3, 5],
      rms_norm_eps: 1e-3,
    },
    seed: 4,
    length: 14,
    lossMasks: true,
    gradients: ["model.layers.0.ffn_layer.gate.weight"],
    forecast: { context: 12, horizon: 2 },
  },
};

describe("the float64 reference", () => {
  test.for(Object.entries(CASES))("%s", async ([, golden]) => {
    const [folder, device] = [await temporaryFolder(), await testDevice()];
    await writeGolden(folder, device, golden);
    const report = await runGolden(folder, device);
    expect(failures(report)).toEqual([]);
    expect(report.untouched).toEqual([]);
    expect(compared(report)).toEqual(
      expect.arrayContaining(["hidden.final_norm", "loss.total", "forecast.step_heads", "forecast.output"]),
    );
  });
});

describe("what parity says", () => {
  const small: GoldenCase = { ...(CASES["all of two experts"] as GoldenCase), gradients: [] };

  test("a changed weight fails, and the tensors before it still pass", async () => {
    const [folder, device] = [await temporaryFolder(), await testDevice()];
    await writeGolden(folder, device, small);
    const other = await temporaryFolder();
    await writeGolden(other, device, { ...small, seed: 5 });
    await writeFile(path.join(folder, "model.safetensors"), await readFile(path.join(other, "model.safetensors")));
    const report = await runGolden(folder, device);
    expect(report.passed).toBe(false);
    expect(failures(report).map(({ name }) => name)).toContain("hidden.embed");
    expect(failures(report).map(({ name }) => name)).not.toContain("labels");
  });

  test("without weights the error names the folder and what it holds", async () => {
    const [folder, device] = [await temporaryFolder(), await testDevice()];
    await writeGolden(folder, device, small);
    await rm(path.join(folder, "model.safetensors"));
    await expect(runGolden(folder, device)).rejects.toThrow(
      `${folder}: has neither model.safetensors nor model.safetensors.index.json; found: config.json, io.safetensors`,
    );
  });

  test("a folder that is no golden, a config that is no JSON, an unknown model", async () => {
    const [folder, device] = [await temporaryFolder(), await testDevice()];
    await expect(runGolden(folder, device)).rejects.toThrow(`${folder}: has no config.json`);
    await writeGolden(folder, device, small);
    await writeFile(path.join(folder, "config.json"), '{ "model_type": "gpt_oss" }');
    await expect(runGolden(folder, device)).rejects.toThrow('no system recognises model_type "gpt_oss"');
    await writeFile(path.join(folder, "config.json"), "{");
    await expect(runGolden(folder, device)).rejects.toThrow("config.json: is no JSON");
  });
});
