import { testDevice } from "@moebius/testing";
import { describe, expect, test } from "vitest";
import { unfold } from "../../src/ops/unfold.ts";
import { scope, tensor } from "../../src/tensor/index.ts";

const device = await testDevice();

const x = () => tensor(device, [1, 2, 3, 4, 5, 6], [2, 3]);
const read = (...args: [number, number?]) =>
  scope(() => {
    const y = unfold(x(), ...args);
    return { shape: y.shape, values: y.read() };
  });

describe("unfold", () => {
  test("gives the next values at each position, zeros past the end", async () => {
    const { shape, values } = read(2);
    expect(shape).toEqual([2, 3, 2]);
    expect([...(await values)]).toEqual([1, 2, 2, 3, 3, 0, 4, 5, 5, 6, 6, 0]);
  });

  test("takes the first positions alone, and windows longer than the row", async () => {
    expect([...(await read(1, 2).values)]).toEqual([1, 2, 4, 5]);
    expect([...(await read(5, 1).values)]).toEqual([1, 2, 3, 0, 0, 4, 5, 6, 0, 0]);
    expect(read(4, 0).shape).toEqual([2, 0, 4]);
  });

  test.each<[number, number?]>([[0], [1.5], [1, 4], [1, -1], [1, 0.5]])(
    "a width of %d at %s positions is refused",
    (...args) => {
      expect(() => read(...args)).toThrow(
        "unfold: needs [batch, time], a width of 1 or more and positions within time",
      );
    },
  );
});
