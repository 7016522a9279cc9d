import { fileURLToPath } from "node:url";
import { evaluateInChromium, hasChromium } from "@moebius/testing/browser";
import { describe, expect, test } from "vitest";
import forecastInBoth from "./browser-forecast.ts";
import { distance } from "./tiny-model.ts";

describe.skipIf(!hasChromium)("in a page of a headless Chromium", () => {
  test("a model forecasts what it forecasts in Node", async () => {
    const file = fileURLToPath(new URL("browser-forecast.ts", import.meta.url));
    const inPage = (await evaluateInChromium(file)) as Awaited<ReturnType<typeof forecastInBoth>>;
    const inNode = await forecastInBoth();
    expect(inPage.adapter).toMatch(/swiftshader/i);
    expect(inNode.bands.flat()).toHaveLength(3 * 13);
    // The series is around 50 with a standard deviation of 7; a few 1e-5 of that is what f32 leaves over 13 steps.
    expect(distance(inPage.bands.flat(), inNode.bands.flat())).toBeLessThan(1e-3);
  });
});
