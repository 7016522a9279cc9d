import { TimeMoe } from "@moebius/timeseries";

const series = Float64Array.from({ length: 512 }, (_, hour) => 100 + 20 * Math.sin((2 * Math.PI * hour) / 24));

using model = await TimeMoe.fromPretrained("Maple728/TimeMoE-50M");
const { mean, lower, upper } = await model.forecast(series, { horizon: 96, interval: 0.9 });

for (const [hour, value] of mean.entries()) console.log(hour + 1, value, lower?.[hour], upper?.[hour]);
