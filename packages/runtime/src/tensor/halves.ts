/**
 * Rounds float32 to bfloat16 (to nearest, ties to even); NaN stays NaN, overflow becomes infinity.
 * @returns the bits, one element each
 */
export function toBfloat16(values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i] as number;
    // A NaN whose payload lies in the lower half would round to infinity: the quiet bit keeps it.
    if ((word & 0x7fffffff) > 0x7f800000) halves[i] = (word >>> 16) | 0x40;
    else halves[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/** Half of the step between 65504, the largest float16, and the next number there would be: from here on infinity is nearest. */
const FLOAT16_OVERFLOW_BITS = 0x477ff000;
const SMALLEST_NORMAL_BITS = 0x38800000;

/**
 * Rounds float32 to float16 (to nearest, ties to even, with denormals); NaN stays NaN, 65520 and above become infinity.
 * @returns the bits, one element each
 */
export function toFloat16(values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i] as number;
    const magnitude = word & 0x7fffffff;
    halves[i] = ((word >>> 16) & 0x8000) | narrowMagnitude(magnitude, values[i] as number);
  }
  return halves;
}

function narrowMagnitude(magnitude: number, value: number): number {
  if (magnitude > 0x7f800000) return 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= FLOAT16_OVERFLOW_BITS) return 0x7c00;
  if (magnitude >= SMALLEST_NORMAL_BITS)
    return (magnitude - ((127 - 15) << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
  // Float16 denormals are multiples of 2^-24; adding 2^52 rounds a float64 to a whole number, ties to even.
  return Math.abs(value) * 2 ** 24 + 2 ** 52 - 2 ** 52;
}

/** @param halves the bits of bfloat16 numbers, which float32 holds exactly */
export function widenBfloat16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

/**
 * Sign 1, exponent 5 (bias 15), mantissa 10 bits, to sign 1, exponent 8 (bias 127), mantissa 23.
 * @param halves the bits of float16 numbers, which float32 holds exactly
 */
export function widenFloat16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(halves.length);
  const values = new Float32Array(bits.buffer);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] as number;
    const magnitude = half & 0x7fff;
    const sign = (half & 0x8000) << 16;
    if (magnitude >= 0x7c00) bits[i] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    else if (magnitude >= 0x400) bits[i] = sign | ((magnitude << 13) + ((127 - 15) << 23));
    else values[i] = (sign ? -magnitude : magnitude) * 2 ** -24; // denormal: a multiple of 2^-24, normal in float32
  }
  return values;
}
