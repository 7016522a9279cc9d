import { extname } from "node:path";
import type { TopLevelSpec } from "vega-lite";
import { writeAtomically } from "../output.ts";
import { UserError } from "../user-error.ts";
import { loadFonts } from "./fonts.ts";
import { theme } from "./theme.ts";

/** Pixels of a PNG per unit of the chart. */
const pngScale = 2;
/** The resolution at which librsvg draws one pixel per unit. */
const svgDpi = 72;

/**
 * Draws a chart into a file; its name decides the format. Call `checkChartFile` first where much work comes before.
 * @throws {UserError} when the name ends neither in .svg nor in .png, or the file cannot be written
 */
export async function renderChart(spec: TopLevelSpec, file: string): Promise<void> {
  const format = checkChartFile(file);
  const svg = await renderSvg(spec);
  await writeAtomically(file, format === "svg" ? svg : await renderPng(svg));
}

/** The format that a chart's file name asks for. */
export function checkChartFile(file: string): "svg" | "png" {
  const extension = extname(file).toLowerCase();
  if (extension === ".svg") return "svg";
  if (extension === ".png") return "png";
  throw new UserError(`${file}: a chart's file name must end in .png or .svg`);
}

// vega, vega-lite and sharp take half a second to load: only a command that draws pays for it
async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
  const compiled = vegaLite.compile(spec, { config: theme, logger: vega.logger(vega.Error) }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none", logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

async function renderPng(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  await loadFonts(sharp);
  return sharp(Buffer.from(svg), { density: svgDpi * pngScale, unlimited: true })
    .png()
    .toBuffer();
}
