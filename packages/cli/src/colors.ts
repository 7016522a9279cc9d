import { createColors } from "picocolors";

type Colors = ReturnType<typeof createColors>;

/** Colours for one stream: on for a terminal; NO_COLOR switches them off and FORCE_COLOR on (https://no-color.org). */
export function colorsFor(stream: { readonly isTTY?: boolean }): Colors {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return createColors(false);
  if (FORCE_COLOR) return createColors(FORCE_COLOR !== "0");
  return createColors(stream.isTTY === true && TERM !== "dumb");
}
