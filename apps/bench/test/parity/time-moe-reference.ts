import type { TimeMoeConfig } from "@moebius/timeseries";

/** Published names to values. */
export type Weights = ReadonlyMap<string, ArrayLike<number>>;

type Row = number[];

export interface Route {
  logits: Row;
  probs: Row;
  /** The k largest, best first. */
  chosen: number[];
}

export interface Trace {
  /** [S][D] after the embedding, each layer but the last, and the final norm. */
  hidden: Row[][];
  /** [layers][S] */
  routes: Route[][];
}

const silu = (x: number) => x / (1 + Math.exp(-x));
const dot = (a: Row, b: Row) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
const plus = (a: Row, b: Row) => a.map((x, i) => x + (b[i] as number));

/** Time-MoE in float64 on plain arrays, one series at a time, written down from the definition. */
export class Reference {
  readonly #config: TimeMoeConfig;
  readonly #weights: Weights;

  constructor(config: TimeMoeConfig, weights: Weights) {
    this.#config = config;
    this.#weights = weights;
  }

  /** @param x [S] normalised @param mask [S] 0 = padding */
  forward(x: Row, mask: Row = x.map(() => 1)): Trace {
    const { num_hidden_layers: layers } = this.#config;
    const embed = (value: number) => {
      const gate = this.#linear("model.embed_layer.gate_layer", [value]);
      return this.#linear("model.embed_layer.emb_layer", [value]).map((y, i) => silu(gate[i] as number) * y);
    };
    const hidden = [x.map(embed)];
    const routes: Route[][] = [];
    for (let layer = 0; layer < layers; layer++) {
      const name = `model.layers.${layer}`;
      const h = hidden.at(-1) as Row[];
      const mixed = this.#attention(
        `${name}.self_attn`,
        h.map((row) => this.#norm(`${name}.input_layernorm`, row)),
        mask,
      );
      const after = h.map((row, t) => plus(row, mixed[t] as Row));
      const chosen: Route[] = [];
      const fed = after.map((row) => {
        const normed = this.#norm(`${name}.post_attention_layernorm`, row);
        return plus(row, this.#feedForward(`${name}.ffn_layer`, normed, chosen));
      });
      hidden.push(fed);
      if (chosen.length > 0) routes.push(chosen);
    }
    const last = (hidden.pop() as Row[]).map((row) => this.#norm("model.norm", row));
    return { hidden: [...hidden, last], routes };
  }

  /** [S][H] */
  predict({ hidden }: Trace, head: number): Row[] {
    return (hidden.at(-1) as Row[]).map((row) => this.#linear(`lm_heads.${head}.out_layer`, row));
  }

  /** Continues a normalised series, the whole sequence anew at each step. */
  generate(x: Row, horizon: number): { values: Row; steps: number[] } {
    const values = [...x];
    const steps: number[] = [];
    for (let left = horizon; left > 0; ) {
      let head = 0;
      while ((this.#config.horizon_lengths[head + 1] ?? Number.POSITIVE_INFINITY) <= left) head++;
      const next = (this.predict(this.forward(values), head).at(-1) as Row).slice(0, left);
      values.push(...next);
      steps.push(next.length);
      left -= next.length;
    }
    return { values: values.slice(x.length), steps };
  }

  #values(name: string): ArrayLike<number> {
    const values = this.#weights.get(name);
    if (!values) throw new Error(`reference: no weight ${name}`);
    return values;
  }

  #linear(name: string, x: Row): Row {
    const weight = this.#values(`${name}.weight`);
    const bias = this.#weights.get(`${name}.bias`);
    return Array.from({ length: weight.length / x.length }, (_, o) => {
      let sum = bias?.[o] ?? 0;
      for (const [i, value] of x.entries()) sum += (weight[o * x.length + i] as number) * value;
      return sum;
    });
  }

  #norm(name: string, x: Row): Row {
    const weight = this.#values(`${name}.weight`);
    const inverse = 1 / Math.sqrt(dot(x, x) / x.length + this.#config.rms_norm_eps);
    return x.map((value, i) => value * inverse * (weight[i] as number));
  }

  #attention(name: string, x: Row[], mask: Row): Row[] {
    const { num_attention_heads: heads, num_key_value_heads: shared, rope_theta, hidden_size } = this.#config;
    const size = hidden_size / heads;
    const rotate = (row: Row, position: number) =>
      row.map((value, i) => {
        const angle = position * rope_theta ** ((-2 * (i % (size / 2))) / size);
        const other = i < size / 2 ? -(row[i + size / 2] as number) : (row[i - size / 2] as number);
        return value * Math.cos(angle) + other * Math.sin(angle);
      });
    const project = (part: string, count: number) =>
      x.map((row) => {
        const all = this.#linear(`${name}.${part}`, row);
        return Array.from({ length: count }, (_, head) => all.slice(head * size, (head + 1) * size));
      });
    const turned = (rows: Row[][]) => rows.map((ofHeads, t) => ofHeads.map((row) => rotate(row, t)));
    const q = turned(project("q_proj", heads));
    const k = turned(project("k_proj", shared));
    const v = project("v_proj", shared);
    return x.map((_, t) => {
      const mixed = Array.from({ length: heads }, (_, head) => {
        const group = Math.floor((head * shared) / heads);
        const seen = [...mask.keys()].filter((s) => s <= t && mask[s] === 1);
        const weights = softmax(seen.map((s) => dot(q[t]?.[head] as Row, k[s]?.[group] as Row) / Math.sqrt(size)));
        const own = seen.map((s) => v[s]?.[group] as Row);
        return Array.from({ length: size }, (_, i) =>
          own.reduce((sum, row, n) => sum + (weights[n] as number) * (row[i] as number), 0),
        );
      });
      return this.#linear(`${name}.o_proj`, mixed.flat());
    });
  }

  #swiglu(name: string, x: Row): Row {
    const gate = this.#linear(`${name}.gate_proj`, x);
    const up = this.#linear(`${name}.up_proj`, x);
    return this.#linear(
      `${name}.down_proj`,
      up.map((value, i) => silu(gate[i] as number) * value),
    );
  }

  #feedForward(name: string, x: Row, routes: Route[]): Row {
    if (this.#config.use_dense) return this.#swiglu(name, x);
    const logits = this.#linear(`${name}.gate`, x);
    const probs = softmax(logits);
    const chosen = [...probs.keys()]
      .sort((a, b) => (probs[b] as number) - (probs[a] as number))
      .slice(0, this.#config.num_experts_per_tok);
    routes.push({ logits, probs, chosen });
    const gate = 1 / (1 + Math.exp(-(this.#linear(`${name}.shared_expert_gate`, x)[0] as number)));
    const shared = this.#swiglu(`${name}.shared_expert`, x).map((value) => gate * value);
    return chosen.reduce(
      (sum, expert) =>
        plus(
          sum,
          this.#swiglu(`${name}.experts.${expert}`, x).map((value) => value * (probs[expert] as number)),
        ),
      shared,
    );
  }
}

export function softmax(x: Row): Row {
  const top = Math.max(...x);
  const powers = x.map((value) => Math.exp(value - top));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

/** Huber loss of one head over a batch. @param masks without them every place counts, past the end against 0 */
export function headLoss(predictions: Row[][], labels: Row[], masks?: Row[]): number {
  let [sum, count] = [0, 0];
  for (const [b, rows] of predictions.entries())
    for (const [t, row] of rows.entries())
      for (const [h, value] of row.entries()) {
        const weight = masks ? (masks[b]?.[t + h] ?? 0) : 1;
        const size = Math.abs(value - (labels[b]?.[t + h] ?? 0));
        sum += weight * (size < 2 ? 0.5 * size * size : 2 * (size - 1));
        count += weight;
      }
  return sum / count;
}

/** E Σ f P over the tokens of all layers. @param masks [B][S] weight of each token */
export function balance(traces: readonly Trace[], masks?: Row[]): number {
  const numExperts = traces[0]?.routes[0]?.[0]?.probs.length ?? 0;
  const [f, p] = [new Array<number>(numExperts).fill(0), new Array<number>(numExperts).fill(0)];
  let tokens = 0;
  for (const [b, { routes }] of traces.entries())
    for (const layer of routes)
      for (const [t, { probs, chosen }] of layer.entries()) {
        const weight = masks?.[b]?.[t] ?? 1;
        tokens += weight;
        for (const expert of chosen) f[expert] = (f[expert] as number) + weight;
        for (const [expert, value] of probs.entries()) p[expert] = (p[expert] as number) + weight * value;
      }
  return (numExperts * dot(f, p)) / tokens ** 2;
}
