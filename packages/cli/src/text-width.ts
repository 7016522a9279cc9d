// Two columns wide in a terminal: Hangul, CJK, kana, full-width forms, emoji (Unicode TR11, East Asian Wide and Fullwidth).
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const zeroWidth = /[\p{Mn}\p{Me}\p{Cf}]/u;

const characterWidth = (character: string) => (zeroWidth.test(character) ? 0 : wide.test(character) ? 2 : 1);

/** Columns that a text without escape codes takes in a terminal. */
export const textWidth = (text: string): number =>
  Array.from(text).reduce((width, character) => width + characterWidth(character), 0);

/** The text, or its beginning and "…", in at most `widthColumns` columns. */
export function truncate(text: string, widthColumns: number): string {
  if (textWidth(text) <= widthColumns) return text;
  let kept = "";
  let width = 1; // the ellipsis
  for (const character of text) {
    width += characterWidth(character);
    if (width > widthColumns) break;
    kept += character;
  }
  return widthColumns < 1 ? "" : `${kept}…`;
}

/** The text filled with spaces up to `widthColumns` columns. */
export const padEnd = (text: string, widthColumns: number): string =>
  text + " ".repeat(Math.max(0, widthColumns - textWidth(text)));

/** The text with spaces before it up to `widthColumns` columns. */
export const padStart = (text: string, widthColumns: number): string =>
  " ".repeat(Math.max(0, widthColumns - textWidth(text))) + text;
