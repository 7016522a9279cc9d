import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { type ByteSource, blobSource, bytesSource, fileSource, urlSource } from "../../src/io/index.ts";
import { sendFile, serve } from "./server.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

const kinds: [string, () => Promise<ByteSource>][] = [
  ["memory", async () => bytesSource("x", content)],
  ["a blob", async () => blobSource("x", new Blob([content]))],
  [
    "a file",
    async () => {
      const path = `${await temporaryFolder()}/x`;
      await writeFile(path, content);
      return fileSource(path);
    },
  ],
  ["a URL", async () => urlSource(`${await serve((request, response) => sendFile(request, response, content))}/x`)],
  [
    "a URL whose server ignores ranges",
    async () => urlSource(`${await serve((_, response) => response.end(content))}/x`),
  ],
];

describe.each(kinds)("%s as a source", (_, make) => {
  test("gives exactly the bytes asked for", async () => {
    const source = await make();
    expect(source.sizeBytes).toBe(1000);
    expect([...(await source.read(990, 10))]).toEqual([...content.subarray(990)]);
    expect((await source.read(1000, 0)).byteLength).toBe(0);
    await source.close();
  });

  test.each([
    [999, 2],
    [-1, 1],
    [0, 2 ** 60],
    [0.5, 1],
  ])("refuses a range outside of it (%d, %d)", async (offset, length) => {
    const source = await make();
    await expect(source.read(offset, length)).rejects.toThrow("but it holds 1000 bytes");
    await source.close();
  });
});

describe("a file", () => {
  test("that does not exist is named", async () => {
    await expect(fileSource("/nowhere/model.safetensors")).rejects.toThrow(
      "/nowhere/model.safetensors: cannot be opened: it does not exist",
    );
  });

  test("that is a folder is refused", async () => {
    const folder = await temporaryFolder();
    await expect(fileSource(folder)).rejects.toThrow(`${folder}: cannot be opened`);
  });

  test("that becomes shorter while it is open is noticed", async () => {
    const path = `${await temporaryFolder()}/x`;
    await writeFile(path, content);
    const source = await fileSource(path);
    await writeFile(path, content.subarray(0, 10));
    await expect(source.read(0, 100)).rejects.toThrow("100 bytes were asked for at 0, 10 came");
    await source.close();
  });
});

describe("a URL", () => {
  test("that is not there gives the server's answer", async () => {
    const url = await serve((_, response) => response.writeHead(404).end());
    await expect(urlSource(url)).rejects.toThrow("the server answered 404 Not Found");
  });

  test("without a server gives the reason", async () => {
    await expect(urlSource("http://127.0.0.1:1/x")).rejects.toThrow("http://127.0.0.1:1/x: no answer: fetch failed");
  });

  test("may be an empty file", async () => {
    const source = await urlSource(await serve((request, response) => sendFile(request, response, new Uint8Array(0))));
    expect(source.sizeBytes).toBe(0);
  });

  test("whose file changes while it is read is noticed", async () => {
    let version = 0;
    const url = await serve((request, response) =>
      sendFile(request, response, content, { headers: { etag: `"${version++}"` } }),
    );
    const source = await urlSource(url);
    await expect(source.read(0, 4)).rejects.toThrow("the file changed on the server while it was read");
  });
});
