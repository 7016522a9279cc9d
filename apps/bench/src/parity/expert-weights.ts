import { UserError } from "@moebius/cli";

type Weights = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** @throws {UserError} when model.safetensors has no such tensor */
export function weightOf(weights: Weights, name: string): Float32Array<ArrayBuffer> {
  const values = weights.get(name);
  if (!values) throw new UserError(`model.safetensors: has no tensor "${name}"`);
  return values;
}

/** The matrices of all experts one after another, as a bank holds them. */
export function bankOf(weights: Weights, numExperts: number, nameOf: (expert: number) => string) {
  const matrices = Array.from({ length: numExperts }, (_, expert) => weightOf(weights, nameOf(expert)));
  const bank = new Float32Array(matrices.reduce((size, matrix) => size + matrix.length, 0));
  let at = 0;
  for (const matrix of matrices) {
    bank.set(matrix, at);
    at += matrix.length;
  }
  return bank;
}
