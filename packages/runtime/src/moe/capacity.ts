import { ShapeError } from "../device/errors.ts";
import type { RouteContext } from "./routers/router.ts";

export interface CapacityOptions {
  /** Most rows an expert takes as a multiple of an even share. Default 1.25 */
  capacityFactor?: number;
  /** The same outside training. Default 2 */
  evalCapacityFactor?: number;
  /** Rows an expert takes at least. Default 4, as in DeepSpeed */
  minCapacity?: number;
  /** Whether tokens beyond the capacity are dropped; otherwise experts take all. Default true */
  dropTokens?: boolean;
  /** Tokens routed and counted together; it divides the number of tokens. Default: all */
  groupSize?: number;
}

/** Rows an expert takes of a routing group; undefined: all. */
export function capacityOf(
  groupTokens: number,
  numExperts: number,
  topK: number,
  options: CapacityOptions,
  { training = false }: RouteContext,
): number | undefined {
  const { capacityFactor = 1.25, evalCapacityFactor = 2, minCapacity = 4, dropTokens = true } = options;
  const factor = training ? capacityFactor : evalCapacityFactor;
  return dropTokens ? evenShareCapacity(groupTokens, numExperts, { factor, topK, minimum: minCapacity }) : undefined;
}

/**
 * C = max(⌈S / E · factor · k⌉, minimum), evaluated in this order, as GShard and Switch layers of DeepSpeed count their rows.
 * @param groupTokens S: tokens of a routing group
 */
export function evenShareCapacity(
  groupTokens: number,
  numExperts: number,
  { factor, topK = 1, minimum = 0 }: { factor: number; topK?: number; minimum?: number },
): number {
  return Math.max(Math.ceil((groupTokens / numExperts) * factor * topK), minimum);
}

export interface VisionCapacityOptions {
  factor: number;
  /** Choices of a token; 1 for expert choice. */
  topK?: number;
  /** C is raised to a multiple of it. Default 4, as published */
  multipleOf?: number;
  rounding?: "ceil" | "round";
}

/** C = ⌈S · k · factor / E⌉, evaluated in this order and raised to a multiple, as V-MoE counts its rows. */
export function visionCapacity(
  groupTokens: number,
  numExperts: number,
  { factor, topK = 1, multipleOf = 4, rounding = "ceil" }: VisionCapacityOptions,
): number {
  const share = (groupTokens * topK * factor) / numExperts;
  const rows = rounding === "ceil" ? Math.ceil(share) : roundHalfToEven(share);
  return Math.ceil(rows / multipleOf) * multipleOf;
}

/** As Python and NumPy round. */
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

/**
 * How many routing groups of `groupSize` neighbouring tokens there are.
 * @param groupSize Default: all tokens are one group
 * @throws {ShapeError} naming sizes that would do when it does not divide the tokens
 */
export function routingGroupsOf(numTokens: number, groupSize: number | undefined): number {
  if (groupSize === undefined || numTokens === 0) return 1;
  if (numTokens % groupSize === 0) return numTokens / groupSize;
  const valid = Array.from({ length: numTokens }, (_, i) => i + 1).filter((size) => numTokens % size === 0);
  const near = valid.toSorted((a, b) => Math.abs(a - groupSize) - Math.abs(b - groupSize)).slice(0, 4);
  throw new ShapeError(
    `router: a groupSize of ${groupSize} does not divide ${numTokens} tokens; near it ${near.sort((a, b) => a - b).join(", ")} would`,
  );
}
