import { readdir, readFile, truncate } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CheckpointError } from "../../src/device/errors.ts";
import {
  type DownloadProgress,
  downloadCheckpoint,
  encodeSafetensors,
  openCheckpoint,
  resolveCheckpoint,
  saveCheckpoint,
} from "../../src/io/index.ts";
import { serveHub } from "./hub-server.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const text = (content: string) => new TextEncoder().encode(content);
const config = text('{"model_type":"test"}');
const weights = (elements: number, value = 1) =>
  encodeSafetensors([{ name: "w", dtype: "F32", shape: [elements], data: new Float32Array(elements).fill(value) }]);

beforeEach(() => {
  for (const name of ["HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "MOEBIUS_OFFLINE"]) vi.stubEnv(name, "");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

async function setup(files: Parameters<typeof serveHub>[0]) {
  const hub = await serveHub(files);
  const options = { hubUrl: hub.url, cacheFolder: await temporaryFolder() };
  return { hub, options, download: () => downloadCheckpoint("owner/model", options) };
}

/** Whether a file has exactly these bytes; comparing large arrays element by element takes seconds. */
const holds = async (file: string, bytes: Uint8Array) => (await readFile(file)).equals(bytes);
const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.fail("it passed"),
    (error: Error) => error,
  );

describe("downloadCheckpoint", () => {
  test("brings config, weights and tokenizer, and nothing else", async () => {
    const { options } = await setup({
      "config.json": config,
      "model.safetensors": await weights(4),
      "tokenizer.json": text("{}"),
      "generation_config.json": new Uint8Array(0),
      "pytorch_model.bin": text("pickle"),
      "consolidated.safetensors": text("the same again"),
      "README.md": text("hello"),
    });
    const folder = await downloadCheckpoint("owner/model", options);
    expect((await readdir(folder)).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.config).toEqual({ model_type: "test" });
    expect(checkpoint.names()).toEqual(["w"]);
    await checkpoint.close();
  });

  test("brings all shards with their index", async () => {
    const index = { weight_map: { w: "model-00001-of-00001.safetensors" } };
    const { download } = await setup({
      "config.json": config,
      "model.safetensors.index.json": text(JSON.stringify(index)),
      "model-00001-of-00001.safetensors": await weights(2),
    });
    const checkpoint = await openCheckpoint(await download());
    expect(checkpoint.names()).toEqual(["w"]);
    await checkpoint.close();
  });

  test("reports bytes, from nothing to all of each file", async () => {
    const { options } = await setup({ "config.json": config, "model.safetensors": await weights(50_000) });
    const events: DownloadProgress[] = [];
    await downloadCheckpoint("owner/model", { ...options, onProgress: (event) => events.push(event) });
    const ofWeights = events.filter((event) => event.file === "model.safetensors");
    const total = (await weights(50_000)).length;
    expect(ofWeights[0]).toEqual({ stage: "download", file: "model.safetensors", done: 0, total });
    expect(ofWeights.at(-1)).toEqual({ stage: "download", file: "model.safetensors", done: total, total });
    expect(ofWeights.map((event) => event.done)).toEqual(ofWeights.map((event) => event.done).sort((a, b) => a - b));
  });

  test("asks only for the listing when everything is there", async () => {
    const { hub, download } = await setup({ "config.json": config, "model.safetensors": await weights(4) });
    const folder = await download();
    hub.requests.length = 0;
    expect(await download()).toBe(folder);
    expect(hub.requests).toHaveLength(1);
  });

  test("downloads a changed repository into another folder", async () => {
    const { hub, download } = await setup({ "config.json": config, "model.safetensors": await weights(4, 1) });
    const before = await download();
    hub.files["model.safetensors"] = { bytes: await weights(4, 2) };
    const after = await download();
    expect(after).not.toBe(before);
    expect(await holds(`${before}/model.safetensors`, await weights(4, 1))).toBe(true);
    expect(await holds(`${after}/model.safetensors`, await weights(4, 2))).toBe(true);
  });

  test("sends the access token", async () => {
    const { hub, options } = await setup({ "config.json": config, "model.safetensors": await weights(4) });
    await downloadCheckpoint("owner/model", { ...options, accessToken: "hf_abc" });
    expect(new Set(hub.tokens)).toEqual(new Set(["Bearer hf_abc"]));
  });
});

describe("a broken connection", () => {
  test("is continued where it stopped", async () => {
    const bytes = await weights(100_000);
    const { hub, download } = await setup({
      "config.json": config,
      "model.safetensors": { bytes, stopAfterBytes: [150_000] },
    });
    const folder = await download();
    expect(await holds(`${folder}/model.safetensors`, bytes)).toBe(true);
    const transfers = hub.requests.filter(
      (request) => request.includes("model.safetensors") && !request.endsWith("bytes=0-0"),
    );
    expect(transfers[0]).not.toContain("bytes=");
    expect(transfers[1]).toMatch(new RegExp(`bytes=[1-9]\\d*-${bytes.length - 1}$`));
  });

  test("that stays broken keeps what came for the next call, and nothing under the final name", async () => {
    const bytes = await weights(100_000);
    const { hub, options, download } = await setup({
      "config.json": config,
      "model.safetensors": { bytes, stopAfterBytes: [150_000, 0, 0, 0, 0] },
    });
    const error = await failure(download());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(
      /owner\/model\/model\.safetensors: the connection breaks .* at \d+ of 4000\d+ bytes; they are kept, run again/,
    );
    const snapshots = `${options.cacheFolder}/hub/owner--model/snapshots`;
    const folder = `${snapshots}/${(await readdir(snapshots))[0]}`;
    expect(
      (await readdir(folder)).map((name) => name.replace(/\.[0-9a-f]+\.incomplete$/, ".incomplete")).sort(),
    ).toEqual(["config.json", "model.safetensors.incomplete"]);
    hub.files["model.safetensors"] = { bytes };
    hub.requests.length = 0;
    expect(await holds(`${await download()}/model.safetensors`, bytes)).toBe(true);
    expect(hub.requests.at(-1)).toMatch(/bytes=[1-9]\d*-/);
  });

  test("a server in trouble is asked again", async () => {
    const bytes = await weights(10);
    const { download } = await setup({ "config.json": config, "model.safetensors": { bytes, statuses: [503, 500] } });
    expect(await holds(`${await download()}/model.safetensors`, bytes)).toBe(true);
  });

  test("an abort ends with its reason, and the next call goes on", async () => {
    const bytes = await weights(100_000);
    const { options, download } = await setup({ "config.json": config, "model.safetensors": bytes });
    const controller = new AbortController();
    const onProgress = ({ file, done }: DownloadProgress) => {
      if (file === "model.safetensors" && done > 0) controller.abort(new Error("enough"));
    };
    await expect(
      downloadCheckpoint("owner/model", { ...options, signal: controller.signal, onProgress }),
    ).rejects.toThrow("enough");
    expect(await holds(`${await download()}/model.safetensors`, bytes)).toBe(true);
  });
});

describe("what cannot be downloaded", () => {
  test.each([
    [401, /private or gated, or does not exist; give an accessToken or set HF_TOKEN/],
    [403, /accept the model's terms/],
    [404, /no such repository or no revision "main"/],
    [429, /too many requests/],
    [500, /try again later/],
  ])("status %d says what to do", async (status, message) => {
    const { hub, download } = await setup({});
    hub.refuseWith = status;
    const error = await failure(download());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`status ${status}`);
  });

  test("a file that is refused names itself", async () => {
    const { download } = await setup({
      "config.json": config,
      "model.safetensors": { bytes: await weights(4), statuses: [403] },
    });
    expect((await failure(download())).message).toMatch(/^owner\/model\/model\.safetensors: the Hub denies access/);
  });

  test("no server says so", async () => {
    const error = await failure(
      downloadCheckpoint("owner/model", { hubUrl: "http://127.0.0.1:1", cacheFolder: await temporaryFolder() }),
    );
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/cannot be reached: fetch failed .*; check the connection/);
  });

  test.each([-1, 1])("a listed size that is wrong by %d is refused", async (difference) => {
    const bytes = await weights(4);
    const { download } = await setup({
      "config.json": config,
      "model.safetensors": { bytes, listedSize: bytes.length + difference },
    });
    expect((await failure(download())).message).toMatch(
      new RegExp(`the Hub lists ${bytes.length + difference} bytes but has ${bytes.length}`),
    );
  });

  test.each([
    ["fewer", 10, /shorter than announced.*status 416/],
    ["more", 5000, /more came than the \d+ bytes that the Hub announced; what came is thrown away/],
  ])("%s bytes than announced never get the final name", async (_, sentBytes, message) => {
    const { options, download } = await setup({
      "config.json": config,
      "model.safetensors": { bytes: await weights(4), sent: new Uint8Array(sentBytes) },
    });
    expect((await failure(download())).message).toMatch(message);
    const files = await readdir(options.cacheFolder, { recursive: true });
    expect(files.filter((name) => name.endsWith("model.safetensors"))).toEqual([]);
  });

  test("a repository without safetensors says what it has", async () => {
    const { download } = await setup({ "config.json": config, "pytorch_model.bin": text("x") });
    expect((await failure(download())).message).toBe(
      "owner/model: has no weights in safetensors format; found: config.json, pytorch_model.bin",
    );
  });

  test.each(["model", "a/b/c", "../x", "a/..", ""])("%j is no id", async (id) => {
    expect((await failure(downloadCheckpoint(id))).message).toContain('"owner/name" is expected');
  });

  test("a token of another kind is refused before it is sent", async () => {
    const { hub, options } = await setup({});
    expect((await failure(downloadCheckpoint("owner/model", { ...options, accessToken: "secret" }))).message).toMatch(
      /must start with "hf_"$/,
    );
    expect(hub.requests).toEqual([]);
  });
});

describe("offline", () => {
  test.each(["MOEBIUS_OFFLINE", "HF_HUB_OFFLINE"])("%s=1 answers from the cache without a request", async (name) => {
    const { hub, download } = await setup({ "config.json": config, "model.safetensors": await weights(4) });
    const folder = await download();
    hub.requests.length = 0;
    vi.stubEnv(name, "1");
    expect(await download()).toBe(folder);
    expect(hub.requests).toEqual([]);
  });

  test("what was never downloaded is named, with the way to get it", async () => {
    const { options } = await setup({});
    const error = await failure(downloadCheckpoint("owner/model", { ...options, offline: true, revision: "v2" }));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(
      /^owner\/model: offline mode, and revision "v2" is not in the cache \(.*owner--model\): run once without offline/,
    );
  });

  test("a file of the cache that was cut short is named", async () => {
    const { options, download } = await setup({ "config.json": config, "model.safetensors": await weights(4) });
    const folder = await download();
    await truncate(`${folder}/model.safetensors`, 5);
    const error = await failure(downloadCheckpoint("owner/model", { ...options, offline: true }));
    expect(error.message).toMatch(/model\.safetensors: is not there with its \d+ bytes any more: download again/);
    expect(await download()).toBe(folder);
    expect(await holds(`${folder}/model.safetensors`, await weights(4))).toBe(true);
  });
});

describe("resolveCheckpoint", () => {
  test("an existing folder wins", async () => {
    const { hub, options } = await setup({});
    const folder = `${await temporaryFolder()}/run`;
    await saveCheckpoint(folder, { config: {}, tensors: [] });
    expect(await resolveCheckpoint(folder, options)).toBe(folder);
    expect(hub.requests).toEqual([]);
  });

  test("owner/name comes from the Hub", async () => {
    const { options } = await setup({ "config.json": config, "model.safetensors": await weights(4) });
    expect(await readdir(await resolveCheckpoint("owner/model", options))).toContain("model.safetensors");
  });

  test("what is neither says both", async () => {
    const { options } = await setup({});
    expect((await failure(resolveCheckpoint("runs/a/b"))).message).toBe(
      'runs/a/b: there is no such folder, and it is no id of the Hugging Face Hub ("owner/name")',
    );
    expect((await failure(resolveCheckpoint("owner/other", options))).message).toMatch(
      /^owner\/other: there is no such folder; as an id of the Hugging Face Hub: .*404/,
    );
  });
});
