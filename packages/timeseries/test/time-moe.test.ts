import { readFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { testDevice } from "@moebius/testing";
import { TimeMoe } from "@moebius/timeseries";
import { describe, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "./temporary-folder.ts";
import { noisySeason, TINY, tinyModel } from "./tiny-model.ts";

/** As much of the Hub as one repository needs: its list of files, and each file by ranges. @returns the URL */
async function serveHub(folder: string, names: readonly string[]): Promise<string> {
  const files = new Map<string, Buffer>();
  for (const name of names) files.set(name, await readFile(path.join(folder, name)));
  const server = http.createServer((request, response) => {
    const url = request.url ?? "";
    if (url.startsWith("/api/models/owner/tiny/tree/main")) {
      const tree = [...files].map(([name, { length }]) => ({ type: "file", path: name, size: length, oid: name }));
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(tree));
      return;
    }
    const name = url.slice("/owner/tiny/resolve/main/".length);
    const bytes = files.get(name);
    if (!bytes) {
      response.writeHead(404).end();
      return;
    }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(first ?? 0);
    const end = last ? Math.min(Number(last), bytes.length - 1) : bytes.length - 1;
    response.writeHead(first === undefined ? 200 : 206, {
      etag: `"${name}"`,
      "content-length": end - start + 1,
      ...(first === undefined ? {} : { "content-range": `bytes ${start}-${end}/${bytes.length}` }),
    });
    response.end(bytes.subarray(start, end + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("TimeMoe", () => {
  test("comes from the Hub by name, and from the cache the second time", async () => {
    const [folder, cacheFolder, device] = [await temporaryFolder(), await temporaryFolder(), await testDevice()];
    using model = await tinyModel();
    await model.save(folder, { dtype: "bfloat16" });
    const hubUrl = await serveHub(folder, ["config.json", "model.safetensors"]);
    const options = { device, cacheFolder };
    using downloaded = await TimeMoe.fromPretrained("owner/tiny", { ...options, hubUrl, offline: false });
    using cached = await TimeMoe.fromPretrained("owner/tiny", { ...options, offline: true });
    using local = await TimeMoe.fromPretrained(folder, { device });
    const expected = await local.forecast(noisySeason(20), { horizon: 5 });
    expect(await downloaded.forecast(noisySeason(20), { horizon: 5 })).toEqual(expected);
    expect(await cached.forecast(noisySeason(20), { horizon: 5 })).toEqual(expected);
  });

  test("what is neither a folder nor a name on the Hub is refused", async () => {
    await expect(TimeMoe.fromPretrained("./nowhere/at/all", { device: await testDevice() })).rejects.toThrow(
      "./nowhere/at/all: there is no such folder",
    );
  });

  test("fromConfig draws the weights that the seed says", async () => {
    const device = await testDevice();
    using a = TimeMoe.fromConfig(device, TINY, { seed: 3 });
    using b = TimeMoe.fromConfig(device, TINY, { seed: 3 });
    using c = TimeMoe.fromConfig(device, TINY, { seed: 4 });
    const name = "model.layers.0.self_attn.q_proj.weight";
    const [first, same, other] = await Promise.all([a, b, c].map((model) => model.parameters().get(name)?.read()));
    expect(same).toEqual(first);
    expect(other).not.toEqual(first);
    // Normal with deviation 0.02: the mean square of 256 draws lies within a third of it.
    const meanSquare = [...(first ?? [])].reduce((sum, x) => sum + x * x, 0) / 256;
    expect(Math.sqrt(meanSquare)).toBeCloseTo(0.02, 2);
    expect(await a.parameters().get("model.layers.0.self_attn.q_proj.bias")?.read()).toEqual(new Float32Array(16));
    expect(await a.parameters().get("model.norm.weight")?.read()).toEqual(new Float32Array(16).fill(1));
  });
});
