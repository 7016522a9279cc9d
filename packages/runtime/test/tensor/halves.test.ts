import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type StoredDType, toBfloat16, toFloat16, toFloat32 } from "../../src/io/index.ts";

const everyHalf = Uint16Array.from({ length: 65536 }, (_, i) => i);
const widen = (dtype: StoredDType, halves: Uint16Array<ArrayBuffer>) =>
  toFloat32({ file: "x", name: "w", dtype, shape: [halves.length], data: new Uint8Array(halves.buffer) });

const formats = [
  ["F16", toFloat16],
  ["BF16", toBfloat16],
] as const;

describe.each(formats)("narrowing to %s", (dtype, narrow) => {
  test("every value of the format comes back with its bits, NaN as NaN", () => {
    const wide = widen(dtype, everyHalf);
    const back = narrow(wide);
    const wrong = everyHalf.filter((bits) =>
      Number.isNaN(wide[bits])
        ? !Number.isNaN(widen(dtype, back.slice(bits, bits + 1))[0] as number)
        : back[bits] !== bits,
    );
    expect([...wrong]).toEqual([]);
  });

  test("the result is a nearest value, and the even one of two", () => {
    // All finite values in increasing order; a value's place in it has the parity of its mantissa.
    const finite = widen(dtype, everyHalf.slice(0, 0x8000)).filter(Number.isFinite);
    const largest = finite.at(-1) as number;
    fc.assert(
      fc.property(fc.float({ min: Math.fround(-largest), max: Math.fround(largest), noNaN: true }), (value) => {
        const bits = narrow(new Float32Array([value]))[0] as number;
        const got = widen(dtype, new Uint16Array([bits]))[0] as number;
        const place = bits & 0x7fff;
        const error = Math.abs(Math.abs(got) - Math.abs(value));
        for (const neighbour of [finite[place - 1], finite[place + 1]]) {
          if (neighbour === undefined) continue;
          const other = Math.abs(neighbour - Math.abs(value));
          expect(error).toBeLessThanOrEqual(other);
          if (error === other) expect(place % 2).toBe(0);
        }
        expect(Object.is(Math.sign(got), Math.sign(value)) || got === 0).toBe(true);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});

describe("the edges of narrowing", () => {
  test("float16: 65520 is nearest to infinity, what lies below it to 65504", () => {
    expect([...toFloat16(new Float32Array([65520, 65519.996, -65520, Number.POSITIVE_INFINITY]))]).toEqual([
      0x7c00, 0x7bff, 0xfc00, 0x7c00,
    ]);
  });

  test("float16: halfway cases among denormals go to the even one", () => {
    // 2^-25 lies between 0 and 2^-24; 3·2^-25 between 2^-24 and 2^-23.
    expect([...toFloat16(new Float32Array([2 ** -25, 3 * 2 ** -25, -(2 ** -24), 1023.5 * 2 ** -24]))]).toEqual([
      0, 2, 0x8001, 0x400,
    ]);
  });

  test("bfloat16: a tie goes to the even mantissa, and the largest float32 to infinity", () => {
    const [tieDown, tieUp] = [1 + 2 ** -8, 1 + 3 * 2 ** -8];
    expect([...toBfloat16(new Float32Array([tieDown, tieUp, 3.4028234e38]))]).toEqual([0x3f80, 0x3f82, 0x7f80]);
  });

  test("a NaN with its payload in the low bits stays NaN", () => {
    const nan = new Float32Array(new Uint32Array([0x7f800001]).buffer);
    expect([toBfloat16(nan)[0], toFloat16(nan)[0]]).toEqual([0x7fc0, 0x7e00]);
  });
});
