import { balanceLoss, type Routing } from "@moebius/runtime/moe";
import { add, huberLoss, reshape, scale, slice, unfold } from "@moebius/runtime/ops";
import { scope, type Tensor } from "@moebius/runtime/tensor";
import type { TimeMoeModel } from "./model.ts";

type F32 = Tensor<"f32">;

/** Where the squared error of the Huber loss turns linear, in standard deviations (arXiv:2409.16040, equation 8). */
const HUBER_DELTA = 2;

export interface LossInputs {
  /** [B, S] normalised. */
  values: F32;
  /**
   * [B, S] or longer: labels[t] = the value after position t, so the loss does not shift again. Labels past position S let the long
   * heads learn from long contexts too; the reference has none.
   */
  labels: F32;
  /** As labels; 1 = count the label at t. Without it the zero padding past the end is counted too, as in the reference. */
  lossMask?: F32 | undefined;
  /** [B, S] 0 = padding on the left. */
  attentionMask?: F32 | undefined;
  /** Positions with fewer points behind them are not trained on. Default 1: all are. */
  minContext?: number;
}

export interface LossParts {
  /** Mean of `heads` + router_aux_loss_factor · `balance`: what training minimises. */
  loss: F32;
  /** Huber loss of each head, ascending horizons. */
  heads: F32[];
  /** Balance loss over all layers, unscaled: k at balance, E when every token picks the same experts. Absent in dense models. */
  balance?: F32;
  routings: Routing[];
  /** [B, S, D] what the heads read. */
  last: F32;
}

/** Huber loss of every head at every position, and the balance loss. Position t of the head of H values is held against labels t … t + H − 1. */
export function timeMoeLoss(
  model: TimeMoeModel,
  { values, labels, lossMask, attentionMask, minContext = 1 }: LossInputs,
): LossParts {
  const { last, routings } = model.forward(values, { attentionMask });
  const late = (all: F32) => (minContext === 1 ? all : slice(all, 1, minContext - 1, all.axis(1) - minContext + 1));
  const [positions, counted, mask] = [late(last), late(labels), lossMask && late(lossMask)];
  const heads = model.horizons.map((horizon, head) => headLoss(model.predict(positions, head), counted, mask, horizon));
  const { apply_aux_loss, router_aux_loss_factor } = model.config;
  const forecast = scale(heads.reduce(add), 1 / heads.length);
  if (routings.length === 0 || !apply_aux_loss) return { loss: forecast, heads, routings, last };
  const balance = balanceLoss(routings, { mask: attentionMask && reshape(attentionMask, [attentionMask.size]) });
  return { loss: add(forecast, scale(balance, router_aux_loss_factor)), heads, balance, routings, last };
}

/** Mean Huber error of one head over the positions that count. @param prediction [B, S, H] */
export function headLoss(prediction: F32, labels: F32, lossMask: F32 | undefined, horizon: number): F32 {
  const positions = prediction.axis(1);
  return scope(() =>
    huberLoss(prediction, unfold(labels, horizon, positions), {
      delta: HUBER_DELTA,
      mask: lossMask && unfold(lossMask, horizon, positions),
    }),
  );
}
