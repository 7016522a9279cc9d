import type { Device } from "@moebius/runtime/device";
import {
  assignments,
  CometRouter,
  cooling,
  DSelectKRouter,
  permutationEntropy,
  type Router,
  reachabilityLoss,
  type SelectorContext,
  type SelectorRouting,
  selectorEntropy,
} from "@moebius/runtime/moe";
import { add, multiply, reshape, scale, sinkhorn, softmax, sum, Tape, transpose } from "@moebius/runtime/ops";
import { scope, type Tensor, tensor } from "@moebius/runtime/tensor";
import type { Tolerance } from "../compare.ts";
import { EXACT, type GateCase, GRADIENT, gateCases, OUTPUT } from "../gate-case.ts";
import type { ParitySystem } from "../system.ts";

type F32 = Tensor<"f32">;
type Values = Float32Array<ArrayBuffer>;

/** COMET's tree gate and its permutation learner. */
export const gatesComet: ParitySystem = {
  name: "gates-comet",
  recognises: ({ config, name }) => config.gate === "COMETGate" || name.startsWith("gates-comet"),
  async run(golden, device) {
    for (const c of gateCases(golden))
      await (c.has("log_weights") ? compareLearner(c, device) : compareComet(c, device));
  },
};

export const gatesDSelectK: ParitySystem = {
  name: "gates-dselect-k",
  recognises: ({ config, name }) => config.gate === "DSelectKGate" || name.startsWith("gates-dselect-k"),
  async run(golden, device) {
    for (const c of gateCases(golden)) await compareDSelectK(c, device);
  },
};

/** A parameter of ours, [columns, H] or a bias [columns], and where each of its columns is stored: a kernel [H, of] or a bias [of]. */
interface Layout {
  parameter: string;
  columns: { stored: string; column: number; of: number }[];
}

async function compareComet(c: GateCase, device: Device): Promise<void> {
  const [n, k, H] = [c.number("nb_experts"), c.number("k"), c.number("input_dim")];
  using router = new CometRouter(device, {
    hiddenSize: H,
    numExperts: n,
    numTrees: k,
    stepWidth: c.number("gamma"),
  });
  const leaves = [...c.values("expert_to_heap_node")];
  const internal = Array.from({ length: n - 1 }, (_, node) => node);
  const layout = (parameter: string, nodes: readonly number[], part: string): Layout => ({
    parameter,
    columns: Array.from({ length: k }, (_, tree) =>
      nodes.map((node) => ({ stored: `node.${node}.${part}`, column: tree, of: k })),
    ).flat(),
  });
  const layouts = [
    layout("selector.weight", internal, "selector.kernel"),
    layout("selector.bias", internal, "selector.bias"),
    layout("leaf.weight", leaves, "leaf.kernel"),
    layout("leaf.bias", leaves, "leaf.bias"),
  ];
  router.load(new Map(layouts.map((one) => [one.parameter, gather(c, one, "param.")])));
  const coefficient = c.number("entropy_reg");
  await compareSelectors(c, device, router, layouts, (routing, x) => {
    const entropy = scale(selectorEntropy(routing), coefficient);
    return {
      auxLoss: entropy,
      outputs: {
        entropy_loss: entropy,
        leaf_prob: routing.selectors,
        leaf_logit: routing.logits,
        g_trees: routing.gates,
        g: routing.probs,
        // Ours are tree by tree, the stored ones node by node.
        selector: transpose(reshape(routing.decisions, [x.axis(0), k, n - 1])),
      },
    };
  });
}

async function compareDSelectK(c: GateCase, device: Device): Promise<void> {
  const [n, k, m, H] = [
    c.number("num_experts"),
    c.number("num_nonzeros"),
    c.number("num_binary"),
    c.number("input_dim"),
  ];
  const isStatic = c.flag("static");
  using router = new DSelectKRouter(device, {
    hiddenSize: H,
    numExperts: n,
    numSelectors: k,
    stepWidth: c.number("gamma"),
    isStatic,
  });
  const layout = (parameter: string, stored: string, of: number): Layout => ({
    parameter,
    columns: Array.from({ length: of }, (_, column) => ({ stored, column, of })),
  });
  const layouts = isStatic
    ? [layout("code.bias", "z_logits", k * m), layout("selector.bias", "w_logits", k)]
    : [
        layout("code.weight", "z_logits.kernel", k * m),
        layout("code.bias", "z_logits.bias", k * m),
        layout("selector.weight", "w_logits.kernel", k),
        layout("selector.bias", "w_logits.bias", k),
      ];
  router.load(new Map(layouts.map((one) => [one.parameter, gather(c, one, "param.")])));
  const isPowerOfTwo = 2 ** m === n;
  await compareSelectors(c, device, router, layouts, (routing, x) => {
    const entropy = scale(selectorEntropy(routing), c.number("entropy_reg"));
    // The static gate makes the same choice for all, which the reference counts once.
    const times = c.number("zeta") * (isPowerOfTwo ? 0 : 1 / (isStatic ? x.axis(0) : 1));
    const reachable = scale(reachabilityLoss(routing), times);
    return {
      auxLoss: add(entropy, reachable),
      outputs: {
        entropy_loss: entropy,
        recip_loss: reachable,
        smooth_step: routing.decisions,
        selector_outputs: routing.selectors,
        selector_weights: softmax(routing.logits),
        expert_weights: routing.probs,
      },
    };
  });
}

interface SelectorOutcome {
  auxLoss: F32;
  outputs: Record<string, F32>;
}

/** Compares y = Σ g f, the loss Σ y · upstream + auxLoss, and the gradients; the experts' outputs f are given. */
async function compareSelectors(
  c: GateCase,
  device: Device,
  router: Router,
  layouts: readonly Layout[],
  inspect: (routing: SelectorRouting, x: F32) => SelectorOutcome,
): Promise<void> {
  const [N, n] = c.shape("experts") as [number, number];
  const hidden = router.hiddenSize;
  const { reads, gradients } = scope(() => {
    const x = c.has("x") ? c.tensor(device, "x") : tensor(device, new Float32Array(N * hidden), [N, hidden]);
    const experts = c.tensor(device, "experts");
    const permutation = c.has("permutation") ? c.tensor(device, "permutation") : undefined;
    const parameters = router.parameters();
    const tape = new Tape([x, experts, ...(permutation ? [permutation] : []), ...parameters.values()]);
    const { y, loss, outputs } = tape.run(() => {
      const context: SelectorContext = { permutation };
      const routing = router.route(x, undefined, context) as SelectorRouting;
      const { auxLoss, outputs } = inspect(routing, x);
      const y = sum(multiply(reshape(routing.probs, [N, n, 1]), experts), 1);
      const loss = add(sum(multiply(y, c.tensor(device, "upstream"))), reshape(auxLoss, []));
      return { y, loss, outputs };
    });
    const found = tape.backward(loss);
    return {
      reads: Object.entries({ y, loss, ...outputs }).map(([name, x]) => [name, x.read()] as const),
      gradients: {
        given: [["x", x] as const, ["experts", experts] as const, ["permutation", permutation] as const].map(
          ([name, input]) => [name, input && found.get(input)?.read()] as const,
        ),
        parameters: new Map([...parameters].map(([name, input]) => [name, found.get(input)?.read()] as const)),
      },
    };
  });
  for (const [name, read] of reads) {
    const values = await read;
    c.compare(name, values, OUTPUT);
    if (name === "g") c.compare("avg_sparsity", [share(values, (g) => g < 1e-5)], EXACT_SHARE);
  }
  for (const [name, read] of gradients.given) {
    const values = await read;
    if (values) c.compare(`grad.${name}`, values, GRADIENT);
  }
  for (const layout of layouts) {
    const values = await gradients.parameters.get(layout.parameter);
    if (!values) continue;
    for (const [stored, part] of scatter(values, layout)) c.compare(`grad.param.${stored}`, part, GRADIENT);
  }
}

const EXACT_SHARE: Tolerance = { absolute: 1e-6 };
const share = (values: ArrayLike<number>, test: (value: number) => boolean) =>
  Array.from(values).filter(test).length / values.length;

/** Our parameter from the stored ones. */
function gather(c: GateCase, { columns }: Layout, prefix: string): Values {
  const rows = columns.map(({ stored, column, of }) => {
    const values = c.values(`${prefix}${stored}`);
    return values.filter((_, i) => i % of === column);
  });
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

/** Stored parameters from ours. */
function scatter(values: Float32Array, { columns }: Layout): Map<string, Values> {
  const length = values.length / columns.length;
  const stored = new Map<string, Values>();
  for (const [row, { stored: name, column, of }] of columns.entries()) {
    const target = stored.get(name) ?? new Float32Array(length * of);
    stored.set(name, target);
    for (let i = 0; i < length; i++) target[i * of + column] = values[row * length + i] as number;
  }
  return stored;
}

async function compareLearner(c: GateCase, device: Device): Promise<void> {
  const shape = c.shape("log_weights");
  const n = shape[1] as number;
  const total = c.values("sched_total")[0] as number;
  const schedule = [...c.values("sched_iteration")].map((step) => cooling(step, total));
  c.compare(
    "sched_sinkhorn_iters",
    schedule.map(({ iterations }) => iterations),
    EXACT,
  );
  c.compare(
    "sched_tau",
    schedule.map(({ temperature }) => temperature),
    { ofLargest: 1e-6 },
  );
  c.compare("hard_of_log_weights", assignments(c.values("log_weights"), n), EXACT);
  for (const one of ["a", "b", "c"].filter((one) => c.has(`tau_${one}`))) {
    const [tau, iterations] = [c.values(`tau_${one}`)[0] as number, c.values(`iters_${one}`)[0] as number];
    const { soft, entropy, gradient } = scope(() => {
      const weights = c.tensor(device, "log_weights");
      const tape = new Tape([weights]);
      const { soft, entropy, loss } = tape.run(() => {
        const soft = sinkhorn(scale(weights, 1 / tau), iterations);
        const entropy = permutationEntropy(soft);
        return { soft, entropy, loss: scale(entropy, c.number("perm_entropy_reg")) };
      });
      const found = tape.backward(loss);
      return { soft: soft.read(), entropy: entropy.read(), gradient: found.get(weights)?.read() };
    });
    c.compare(`soft_${one}`, await soft, OUTPUT);
    c.compare(`entropy_${one}`, await entropy, OUTPUT);
    c.compare(`hard_${one}`, assignments(await soft, n), EXACT);
    const slope = await gradient;
    if (one === "a" && slope) c.compare("grad.log_weights", slope, GRADIENT);
  }
}
