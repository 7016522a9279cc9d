import { CheckpointError } from "../device/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { parseHeader, type SafetensorsHeader } from "./safetensors-header.ts";
import type { StoredTensor } from "./stored-tensor.ts";

/** The format's own limit: a longer header is damage or an attack. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;

/** An open safetensors file: its header in memory, its tensors read one by one. */
export interface Safetensors extends SafetensorsHeader {
  readonly file: string;
  /** @throws {CheckpointError} when the file has no such tensor, or cannot be read */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file and checks its whole header; tensor data is read only on demand.
 * The source is closed with the result, and when opening fails.
 * @throws {CheckpointError} for a file that is truncated, damaged or inconsistent, naming the tensor where there is one
 * @see the format: https://github.com/huggingface/safetensors#format
 */
export async function openSafetensors(source: ByteSource): Promise<Safetensors> {
  try {
    const header = await readHeader(source);
    const read = async (name: string): Promise<StoredTensor> => {
      const entry = header.tensors.get(name);
      if (!entry)
        throw new CheckpointError(source.name, `is not in the file, which holds ${header.tensors.size} tensors`, name);
      const data = await source.read(entry.offset, entry.sizeBytes);
      return { file: source.name, name, dtype: entry.dtype, shape: entry.shape, data };
    };
    return { file: source.name, ...header, read, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const { name, sizeBytes } = source;
  if (sizeBytes < LENGTH_BYTES)
    throw new CheckpointError(name, `is cut short: it has ${sizeBytes} bytes, its header's length alone takes 8`);
  const length = await source.read(0, LENGTH_BYTES);
  const headerBytes = Number(new DataView(length.buffer, length.byteOffset).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES)
    throw new CheckpointError(
      name,
      `its header claims ${headerBytes} bytes, the format allows ${MAX_HEADER_BYTES}: it is no safetensors file`,
    );
  const dataStart = LENGTH_BYTES + headerBytes;
  if (dataStart > sizeBytes)
    throw new CheckpointError(
      name,
      `is cut short: its header claims ${headerBytes} bytes, ${sizeBytes - LENGTH_BYTES} follow`,
    );
  return parseHeader(name, await source.read(LENGTH_BYTES, headerBytes), dataStart, sizeBytes - dataStart);
}
