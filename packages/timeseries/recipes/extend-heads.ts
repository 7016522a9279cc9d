import { TimeMoe } from "@moebius/timeseries";

/**
 * The same model with more horizons: a head of H values is the first H rows of the next longer one, which predicts the same points. A
 * week of hours (168) is then one step of 168, in place of 96 and three times 24 that feed on each other's errors.
 */
export async function extendHeads(model: TimeMoe, horizons: readonly number[]): Promise<TimeMoe> {
  const trained = model.horizons;
  const extended = TimeMoe.fromConfig(model.device, { ...model.config, horizon_lengths: [...horizons] });
  const source = model.parameters();
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, parameter] of extended.parameters()) {
    const head = /^lm_heads\.(\d+)\./.exec(name);
    const from = head ? trained.findIndex((length) => length >= (horizons[Number(head[1])] ?? 0)) : undefined;
    const read = await source.get(from === undefined ? name : `lm_heads.${from}.out_layer.weight`)?.read();
    values.set(name, (read ?? new Float32Array()).slice(0, parameter.size));
  }
  extended.load(values);
  return extended;
}
