/**
 * Different texts of a column up to which copies are shared; a column with more is taken to repeat too little (times).
 */
const MAX_INTERNED = 65_536;

/**
 * One column of a table: 8 bytes a cell, and text beside it only where a cell is not a plainly written number. Nothing
 * is lost: "0.50" and "007" stay text.
 */
export class Column {
  readonly name: string;
  readonly length: number;
  private readonly numbers: Float64Array;
  private readonly texts: readonly (string | undefined)[];

  constructor(name: string, numbers: Float64Array, texts: readonly (string | undefined)[]) {
    this.name = name;
    this.length = numbers.length;
    this.numbers = numbers;
    this.texts = texts;
  }

  /** The cell as it was written; "" when it is missing. */
  text(row: number): string {
    return this.texts[row] ?? String(this.numbers[row]);
  }

  /** The cell's number, or its text where it was not stored as one ("" when missing). */
  cell(row: number): number | string {
    return this.texts[row] ?? (this.numbers[row] as number);
  }

  /** All cells as text. */
  toStrings(): string[] {
    return Array.from({ length: this.length }, (_, row) => this.text(row));
  }
}

/** Grows a column cell by cell. */
export class ColumnBuilder {
  readonly name: string;
  private numbers = new Float64Array(256);
  private readonly texts: (string | undefined)[] = [];
  private readonly interned = new Map<string, string>();
  private length = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** @param cell a number as it is, text as it was written; null is a missing cell */
  push(cell: number | string | null): void {
    if (this.length === this.numbers.length) {
      const grown = new Float64Array(this.length * 2);
      grown.set(this.numbers);
      this.numbers = grown;
    }
    const number = typeof cell === "number" ? cell : plainNumber(cell ?? "");
    if (number === undefined) this.texts[this.length] = this.intern(cell as string | null);
    else this.numbers[this.length] = number;
    this.length++;
  }

  /** Ends the builder: the spare room goes at once, so that only one column is there twice. */
  finish(): Column {
    const numbers = this.numbers.slice(0, this.length);
    this.numbers = new Float64Array(0);
    return new Column(this.name, numbers, this.texts);
  }

  /** Dates and names repeat: one copy of each is enough. */
  private intern(cell: string | null): string {
    if (!cell) return "";
    if (this.interned.size === MAX_INTERNED) return cell;
    const known = this.interned.get(cell);
    if (known !== undefined) return known;
    this.interned.set(cell, cell);
    return cell;
  }
}

const POWERS = Float64Array.from({ length: 16 }, (_, i) => 10 ** i);

/**
 * The number, when writing it gives back the same text: an optional minus, at most 15 digits, no zeros that could be
 * left out. Digits and power of ten are then exact, so their quotient is the nearest double, and this takes a tenth of
 * String(Number(text)).
 */
function plainNumber(text: string): number | undefined {
  const negative = text.charCodeAt(0) === 45;
  const first = negative ? 1 : 0;
  const last = text.length - 1;
  if (last < first || last - first > 15) return undefined;
  let digits = 0;
  let point = -1;
  for (let i = first; i <= last; i++) {
    const code = text.charCodeAt(i);
    if (code === 46 && point < 0 && i > first && i < last) point = i;
    else if (code < 48 || code > 57) return undefined;
    else digits = digits * 10 + code - 48;
  }
  if (point < 0 && last - first === 15) return undefined;
  const leadingZero = text.charCodeAt(first) === 48 && last > first && point !== first + 1;
  const trailingZero = point >= 0 && text.charCodeAt(last) === 48;
  if (leadingZero || trailingZero || (negative && digits === 0)) return undefined;
  const value = point < 0 ? digits : digits / (POWERS[last - point] as number);
  if (point >= 0 && value < 1e-6) return undefined; // written with an exponent
  return negative ? -value : value;
}
