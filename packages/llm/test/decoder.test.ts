import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decoderFromConfig, generateGreedy, loadDecoder, type MoeDecoder } from "@moebius/llm";
import { publishedTensors, type WritableTensor, writeSafetensors } from "@moebius/runtime/io";
import { RandomKey, scope, tensor } from "@moebius/runtime/tensor";
import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";

const device = await testDevice();

const LLAMA = {
  vocab_size: 11,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 6,
  max_position_embeddings: 12,
};
const CONFIGS = {
  deepseek: {
    ...LLAMA,
    model_type: "deepseek",
    moe_intermediate_size: 4,
    n_routed_experts: 4,
    n_shared_experts: 1,
    num_experts_per_tok: 2,
    first_k_dense_replace: 1,
  },
  "deepseek-v3": {
    ...LLAMA,
    model_type: "deepseek_v3",
    moe_intermediate_size: 4,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    kv_lora_rank: 4,
    qk_nope_head_dim: 2,
    qk_rope_head_dim: 2,
    v_head_dim: 3,
    n_group: 2,
    topk_group: 1,
    norm_topk_prob: true,
  },
  mixtral: { ...LLAMA, model_type: "mixtral", num_local_experts: 4, num_key_value_heads: 1, sliding_window: 3 },
  olmoe: { ...LLAMA, model_type: "olmoe", num_experts: 4, num_experts_per_tok: 2, clip_qkv: 0.8, attention_bias: true },
  "qwen2-moe": {
    ...LLAMA,
    model_type: "qwen2_moe",
    num_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 5,
    shared_expert_intermediate_size: 7,
    mlp_only_layers: [1],
  },
  "qwen3-moe": { ...LLAMA, model_type: "qwen3_moe", num_experts: 4, num_experts_per_tok: 2, head_dim: 6 },
  "dynamic-moe": { ...LLAMA, model_type: "llama", num_experts: 4, top_p_threshold: 0.5, expert_frequency: 2 },
  "moe-plus-plus": { ...LLAMA, model_type: "MoE++", num_experts: [6], pad_token_id: 0 },
  monet: { ...LLAMA, model_type: "monet", moe_experts: 4, moe_heads: 2, moe_dim: 4, moe_topk: 2, moe_groups: 2 },
  rmoe: {
    ...LLAMA,
    model_type: "llama_moe_rnn",
    num_local_experts: 4,
    moe_router_rnn_hidden_size: 3,
    add_moe_bias: true,
    add_moe_share_expert: true,
  },
} as const;

const families = Object.entries(CONFIGS);

const made = (config: unknown): MoeDecoder => decoderFromConfig(device, config).initialize(new RandomKey(1));

/** A folder with a model's checkpoint in its published layout. */
async function saved(model: MoeDecoder, config: unknown): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "moebius-llm-"));
  const tensors: WritableTensor[] = [];
  for await (const one of publishedTensors(model, model.options.layout, (_, parameter) => parameter.read()))
    tensors.push(one);
  await writeSafetensors(path.join(folder, "model.safetensors"), tensors);
  await writeFile(path.join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

const logitsOf = async (model: MoeDecoder) => {
  const ids = Uint32Array.of(1, 5, 3, 0, 7, 2);
  return scope(() => ({ logits: model.forward(tensor(device, ids, [1, 6])).logits.read() })).logits;
};

describe("decoders", () => {
  test.each(families)("%s: a published checkpoint loads into the same model", async (_, config) => {
    using model = made(config);
    const folder = await saved(model, config);
    using loaded = await loadDecoder(folder, { device });
    expect(await logitsOf(loaded)).toEqual(await logitsOf(model));
    await rm(folder, { recursive: true });
  });

  test.each(families)("%s: every parameter trains", async (_, config) => {
    using model = made(config);
    const { Tape } = await import("@moebius/runtime/ops");
    const parameters = model.trainableParameters();
    const ids = tensor(
      device,
      Uint32Array.from({ length: 24 }, (_, i) => 1 + ((i * 7) % 10)),
      [2, 12],
    );
    const read = scope(() => {
      const tape = new Tape(parameters.values());
      const found = tape.backward(tape.run(() => model.loss(ids, ids).loss));
      return [...parameters].map(([name, parameter]) => [name, found.get(parameter)?.read()] as const);
    });
    const untrained: string[] = [];
    for (const [name, gradient] of read) if (!(await gradient)?.some((g) => g !== 0)) untrained.push(name);
    // MoE++ has a map of earlier scores in its first layer, too, which has none.
    expect(untrained).toEqual("pad_token_id" in config ? ["model.layers.0.mlp.moe.gate.gate_map.weight"] : []);
  });

  test.each(families)("%s: decoding with a cache chooses what the whole sequence does", async (_, config) => {
    using model = made(config);
    const prompt = [1, 4, 2];
    for await (const [id] of generateGreedy(model, [[...prompt]], { maxTokens: 4 })) {
      const { logits } = scope(() => ({
        logits: model.forward(tensor(device, Uint32Array.from(prompt), [1, prompt.length])).logits.read(),
      }));
      const last = [...(await logits).slice(-LLAMA.vocab_size)];
      expect(id).toBe(last.indexOf(Math.max(...last)));
      prompt.push(id as number);
    }
  });

  test("bad input is named", async () => {
    expect(() => decoderFromConfig(device, { model_type: "gpt2" })).toThrow('model_type "gpt2" is not known');
    expect(() => decoderFromConfig(device, { ...CONFIGS.deepseek, n_routed_experts: 0 }, "a/config.json")).toThrow(
      "a/config.json: n_routed_experts must be a whole number of at least 1, got 0",
    );
    const wrong = { ...CONFIGS.monet, moe_topk: 0, hidden_act: "silu", attention_bias: true };
    expect(() => decoderFromConfig(device, wrong)).toThrow(/hidden_act must be "relu2" or "gelu".*moe_topk must be/);
    using model = made(CONFIGS.deepseek);
    const generate = (prompts: number[][], maxTokens = 2) => generateGreedy(model, prompts, { maxTokens }).next();
    await expect(generate([[1, 11]])).rejects.toThrow("prompt 0 has the id 11 at position 1, expected 0 to 10");
    await expect(generate([[1], [1, 2]])).rejects.toThrow("prompt 1 has 2 tokens, expected 1");
    await expect(generate([])).rejects.toThrow("there is no prompt");
    await expect(generate([[1]], 40)).rejects.toThrow("pass the model's 12 positions");
  });
});
