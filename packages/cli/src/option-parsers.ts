import { UserError } from "./user-error.ts";

/** Bounds of a number, both inclusive. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
}

type Parser<T> = (text: string) => T;

/** A finite decimal number within `range`. */
export const number = (option: string, range: Range = {}): Parser<number> => {
  const { min = -Infinity, max = Infinity } = range;
  return (text) => {
    const value = parseDecimal(text);
    if (!(value >= min && value <= max)) throw mistake(option, `a number${describeRange(range)}`, text);
    return value;
  };
};

/** A whole number within `range`. */
export const integer = (option: string, range: Range = {}): Parser<number> => {
  const { min = -Infinity, max = Infinity } = range;
  return (text) => {
    const value = parseDecimal(text);
    if (!(Number.isSafeInteger(value) && value >= min && value <= max)) {
      throw mistake(option, `a whole number${describeRange(range)}`, text);
    }
    return value;
  };
};

/** A whole number of at least 1. */
export const positiveInteger = (option: string): Parser<number> => integer(option, { min: 1 });

/** A number between 0 and 1, both excluded: the coverage of an interval, a quantile. */
export const probability = (option: string): Parser<number> => {
  return (text) => {
    const value = parseDecimal(text);
    if (!(value > 0 && value < 1)) throw mistake(option, "a number between 0 and 1, such as 0.9", text);
    return value;
  };
};

/** Texts separated by commas; a repeated option adds to the list, so give the option no default value. */
export const list = (option: string) => listOf(option, (item) => item);

/**
 * Values separated by commas; a repeated option adds to the list, so give the option no default value.
 * @param parseItem turns one item into its value, e.g. `positiveInteger("--horizons")`
 */
export const listOf = <T>(option: string, parseItem: Parser<T>) => {
  return (text: string, previous: readonly T[] = []): T[] => {
    const items = text.split(",").map((item) => item.trim());
    if (items.includes("")) throw mistake(option, "a list such as a,b,c without empty items", text);
    return [...previous, ...items.map((item) => parseItem(item))];
  };
};

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** NaN for everything that is not a plain finite decimal number ("", "0x10", "Infinity", "1_000", "1e999"). */
function parseDecimal(text: string): number {
  const value = decimal.test(text.trim()) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : Number.NaN;
}

function describeRange({ min, max }: Range): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? "" : ` of at most ${max}`;
}

const mistake = (option: string, expected: string, text: string) =>
  new UserError(`${option}: expected ${expected}, got "${text}"`);
