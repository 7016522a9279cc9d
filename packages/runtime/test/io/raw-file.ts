import { bytesSource, openSafetensors, type Safetensors } from "../../src/io/index.ts";

/** A safetensors file from parts that need not fit together. */
export function rawFile(header: unknown, dataBytes = 0, claimedHeaderBytes?: number | bigint): Uint8Array<ArrayBuffer> {
  const json =
    typeof header === "string"
      ? new TextEncoder().encode(header)
      : header instanceof Uint8Array
        ? header
        : new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(claimedHeaderBytes ?? json.byteLength), true);
  file.set(json, 8);
  return file;
}

export function open(bytes: Uint8Array<ArrayBuffer>): Promise<Safetensors> {
  return openSafetensors(bytesSource("x.safetensors", bytes));
}
