import { ShapeError } from "../device/errors.ts";
import { defineKernel } from "../device/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import code from "./balanced-assignment.wgsl";

const kernel = defineKernel("balanced-assignment", code);

const THREADS = 64;
/** Costs of chains live in workgroup memory. */
const MAX_COLUMNS = 256;

/**
 * The column of each row, none with more than its share of rows and the sum of scores the largest possible: exact within each chunk of
 * rows, in one dispatch.
 * @param scores [M, E]
 * @param chunk most rows looked at together; rounded up to a multiple of E, so that the shares of chunks add up evenly
 * @param mask [M] f32: rows with 0 get NONE
 * @returns [M] u32
 * @throws {ShapeError} unless scores has two axes and at most 256 columns
 */
export function balancedAssignment(
  scores: Tensor<"f32">,
  { chunk, mask }: { chunk: number; mask?: Tensor<"f32"> | undefined },
): Tensor<"u32"> {
  const { device } = scores;
  const [rows = 0, columns = 0] = scores.shape;
  if (scores.rank !== 2 || columns < 1 || columns > MAX_COLUMNS)
    throw new ShapeError(
      `balancedAssignment: scores must be [rows, 1 to ${MAX_COLUMNS} columns], got ${formatShape(scores.shape)}`,
    );
  const size = Math.ceil(Math.min(chunk, Math.max(rows, 1)) / columns) * columns;
  const chunks = Math.ceil(rows / size);
  const room = size / columns;
  const assigned = empty(device, [rows], "u32");
  const members = empty(device, [chunks * columns * room], "u32");
  const pairs = [chunks, columns, columns];
  const [losses, movers, before] = [
    empty(device, pairs, "f32"),
    empty(device, pairs, "u32"),
    empty(device, pairs, "u32"),
  ];
  device.dispatch({
    kernel,
    defines: { THREADS, COLUMNS: MAX_COLUMNS },
    bindings: [scores, mask ?? scores, assigned, members, losses, movers, before].map((tensor) => tensor.binding()),
    params: { rows, columns, chunk: size, room, has_mask: mask ? 1 : 0 },
    grid: [chunks],
  });
  for (const tensor of [members, losses, movers, before]) tensor.dispose();
  return assigned;
}
