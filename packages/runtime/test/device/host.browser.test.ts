import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MoebiusError } from "../../src/device/errors.ts";
import * as host from "../../src/device/host.browser.ts";
import * as nodeHost from "../../src/device/host.node.ts";

type Piece = Uint8Array<ArrayBuffer> | Blob | { type: "write"; position: number; data: Uint8Array<ArrayBuffer> };

/** The origin-private file system in memory, as far as the host uses it: a file changes when its writer is closed. */
function memoryFile(name: string) {
  let content = new Blob([]);
  const createWritable = async ({ keepExistingData = false } = {}) => {
    let bytes = new Uint8Array(keepExistingData ? await content.arrayBuffer() : new ArrayBuffer(0));
    let cursor = 0;
    return {
      async write(piece: Piece) {
        if ("position" in piece) cursor = piece.position;
        const data =
          piece instanceof Blob ? new Uint8Array(await piece.arrayBuffer()) : "position" in piece ? piece.data : piece;
        const grown = new Uint8Array(Math.max(bytes.length, cursor + data.length));
        grown.set(bytes);
        grown.set(data, cursor);
        cursor += data.length;
        bytes = grown;
      },
      async close() {
        content = new Blob([bytes]);
      },
      async abort() {},
    };
  };
  return { kind: "file" as const, name, getFile: async () => content, createWritable };
}

interface MemoryFolder {
  kind: "directory";
  name: string;
  getFileHandle(key: string, options?: { create: boolean }): Promise<ReturnType<typeof memoryFile>>;
  getDirectoryHandle(key: string, options?: { create: boolean }): Promise<MemoryFolder>;
  removeEntry(key: string): Promise<void>;
  values(): AsyncIterable<{ kind: "file" | "directory"; name: string }>;
}

function memoryFolder(name: string): MemoryFolder {
  const entries = new Map<string, { kind: "file" | "directory"; name: string }>();
  const get = <T extends { kind: "file" | "directory"; name: string }>(
    key: string,
    make: (key: string) => T,
    kind: T["kind"],
    create?: boolean,
  ): T => {
    const found = entries.get(key);
    if (found && found.kind !== kind) throw new DOMException(`${key} is a ${found.kind}`, "TypeMismatchError");
    if (!found && !create) throw new DOMException(`${key} is not there`, "NotFoundError");
    const entry = (found as T | undefined) ?? make(key);
    entries.set(key, entry);
    return entry;
  };
  return {
    kind: "directory",
    name,
    getFileHandle: async (key, options) => get(key, memoryFile, "file", options?.create),
    getDirectoryHandle: async (key, options) => get(key, memoryFolder, "directory", options?.create),
    removeEntry: async (key) => void entries.delete(key),
    async *values() {
      yield* entries.values();
    },
  };
}

const bytes = (...values: number[]) => Uint8Array.from(values);
const contentOf = async (file: string) => [...(await (await host.openFile(file)).read(0, await host.fileSize(file)))];

beforeEach(() => {
  const root = memoryFolder("");
  vi.stubGlobal("navigator", { storage: { getDirectory: async () => root } });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe("the host of a web page", () => {
  test("offers what Node's offers", () => {
    expect(Object.keys(host).sort()).toEqual(Object.keys(nodeHost).sort());
  });

  test("keeps files in folders", async () => {
    await host.makeFolder("a/b");
    await host.writeAtomically("a/b/x", [bytes(1, 2), bytes(3)]);
    expect(await host.pathKind("a/b")).toBe("folder");
    expect(await host.pathKind("a/b/x")).toBe("file");
    expect(await host.pathKind("a/c")).toBeUndefined();
    expect(await host.listFolder("a/b")).toEqual(["x"]);
    expect(await host.listFolder("a")).toEqual([]);
    expect(await contentOf("a/b/x")).toEqual([1, 2, 3]);
  });

  test("leaves a file as it was when writing fails", async () => {
    await host.writeAtomically("x", [bytes(1)]);
    const failing = async function* () {
      yield bytes(9, 9);
      throw new Error("stopped");
    };
    await expect(host.writeAtomically("x", failing())).rejects.toThrow("stopped");
    expect(await contentOf("x")).toEqual([1]);
  });

  test("keeps what came before an error when it goes on in a file", async () => {
    await host.writeFrom("x", 0, [bytes(1, 2)]);
    const failing = async function* () {
      yield bytes(3);
      throw new Error("stopped");
    };
    await expect(host.writeFrom("x", 2, failing())).rejects.toThrow("stopped");
    expect(await contentOf("x")).toEqual([1, 2, 3]);
  });

  test("renames a folder with all that is in it, and removes one", async () => {
    await host.makeFolder("a/b");
    await host.writeAtomically("a/b/x", [bytes(7)]);
    await host.renamePath("a", "c");
    expect(await host.pathKind("a")).toBeUndefined();
    expect(await contentOf("c/b/x")).toEqual([7]);
    await host.removePath("c");
    await host.removePath("c");
    expect(await host.pathKind("c")).toBeUndefined();
  });

  test("says so when the page has no file system", async () => {
    vi.stubGlobal("navigator", {});
    await expect(host.readText("x")).rejects.toThrow(MoebiusError);
    await expect(host.readText("x")).rejects.toThrow(/serve it by https or from localhost/);
  });
});
