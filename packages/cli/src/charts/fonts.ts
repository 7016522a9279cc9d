import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import type { SharpConstructor } from "sharp";

const require = createRequire(import.meta.url);
const fontFiles = () => [
  require.resolve("@expo-google-fonts/inter/400Regular/Inter_400Regular.ttf"),
  require.resolve("@expo-google-fonts/inter/600SemiBold/Inter_600SemiBold.ttf"),
];

let loaded: Promise<unknown> | undefined;

/**
 * Brings the charts' font into this process. A bare Linux has no fonts at all, and librsvg would draw boxes.
 * sharp has no call for it; but a font file given to its text input stays known to fontconfig, which librsvg asks.
 */
export function loadFonts(sharp: SharpConstructor): Promise<unknown> {
  // without any configuration fontconfig works as well, but complains on stderr
  if (process.platform === "linux" && !existsSync("/etc/fonts/fonts.conf")) {
    process.env.FONTCONFIG_FILE ??= require.resolve("@moebius/cli/fonts.conf");
  }
  loaded ??= Promise.all(
    fontFiles().map((fontfile) =>
      sharp({ text: { text: "a", fontfile } })
        .raw()
        .toBuffer(),
    ),
  );
  return loaded;
}
