import { testDevice } from "@moebius/testing";
import { TimeMoe } from "@moebius/timeseries";
import { noisySeason, TINY } from "./tiny-model.ts";

/** What is computed in Node and in a page: a model from its configuration, and its forecast with an interval. */
export default async function forecastInBoth() {
  const device = await testDevice();
  using model = TimeMoe.fromConfig(device, { ...TINY, initializer_range: 0.5 }, { seed: 3 });
  const { mean, lower, upper } = await model.forecast(noisySeason(60), { horizon: 13, context: 24, interval: 0.8 });
  return { adapter: device.describe().adapter, bands: [mean, lower, upper].map((band) => Array.from(band ?? [])) };
}
