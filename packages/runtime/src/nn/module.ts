import type { Device } from "../device/device.ts";
import { ConfigError, ShapeError } from "../device/errors.ts";
import type { Storage } from "../device/pool.ts";
import type { RandomKey } from "../tensor/philox.ts";
import { keep } from "../tensor/scope.ts";
import { expectShape, formatShape, type Shape, sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type Initializer, normal } from "./initializers.ts";

/** A tensor that belongs to a module: it outlives scopes, has a name, and is what optimizers change and checkpoints hold. */
export class Parameter extends Tensor<"f32"> {
  readonly initializer: Initializer;
  /** Only products read it, so that it may be stored in 16 bits: see Module.storeMatrices. */
  readonly isMatrix: boolean;
  /** Frozen parameters get no gradient. */
  trainable = true;

  constructor(device: Device, shape: Shape, initializer: Initializer, isMatrix = false) {
    super(device, shape, "f32", device.allocate(4 * sizeOf(shape), describe(shape)));
    this.initializer = initializer;
    this.isMatrix = isMatrix;
    keep(this);
  }

  /** Writes `values` in another form, rounded to nearest; in 16 bits they are frozen, since optimizers need all their digits. */
  storeAs(storage: Storage, values: Float32Array<ArrayBuffer>): void {
    expectShape("storeAs", "values", [values.length], [this.size]);
    this.replaceStorage(storage, values, describe(this.shape));
    if (storage !== "32 bit") this.trainable = false;
  }
}

const describe = (shape: Shape): string => `a parameter of shape ${formatShape(shape)}`;

/**
 * A part of a model: parameters, parts of its own, and a forward function. A part registers what it has under the published
 * checkpoint's names, so that the path of a parameter is its name in the file: `layers.0.self_attn.q_proj.weight`.
 */
export abstract class Module implements Disposable {
  readonly device: Device;
  readonly #parameters = new Map<string, Parameter>();
  readonly #children = new Map<string, Module>();

  constructor(device: Device) {
    this.device = device;
  }

  /** Declares a parameter. Its values are garbage until `initialize` or a checkpoint fills them. */
  protected parameter(name: string, shape: Shape, initializer?: Initializer): Parameter {
    return this.#declare(name, shape, initializer, false);
  }

  /** Declares a parameter that only products read. */
  protected matrix(name: string, shape: Shape, initializer?: Initializer): Parameter {
    return this.#declare(name, shape, initializer, true);
  }

  /** Declares a part; under the name "" its parameters count as this one's own. */
  protected child<M extends Module>(name: string, module: M): M {
    this.#expectFree(name);
    this.#children.set(name, module);
    return module;
  }

  /** Declares parts by index: `layers.0`, `layers.1`, … */
  protected children<M extends Module>(name: string, modules: M[]): M[] {
    for (const [index, module] of modules.entries()) this.child(`${name}.${index}`, module);
    return modules;
  }

  /** All parameters by their full names, in order of declaration. */
  parameters(): Map<string, Parameter> {
    const all = new Map(this.#parameters);
    for (const [prefix, child] of this.#children)
      for (const [name, parameter] of child.parameters()) all.set(prefix ? `${prefix}.${name}` : name, parameter);
    return all;
  }

  /** The parameters that training changes. */
  trainableParameters(): Map<string, Parameter> {
    return new Map([...this.parameters()].filter(([, parameter]) => parameter.trainable));
  }

  get numParameters(): number {
    return [...this.parameters().values()].reduce((sum, parameter) => sum + parameter.size, 0);
  }

  /** Fills every parameter with its initial values; the same key gives the same values on every adapter. */
  initialize(key: RandomKey): this {
    for (const [name, parameter] of this.parameters())
      parameter.write(parameter.initializer(key.split(name), parameter.shape));
    return this;
  }

  /**
   * Overwrites parameters with values by name.
   * @throws {ConfigError} when a parameter has no values or values have no parameter; nothing is written then
   * @throws {ShapeError} when a size differs; nothing is written then
   */
  load(values: ReadonlyMap<string, Float32Array<ArrayBuffer>>): void {
    const parameters = this.parameters();
    const missing = [...parameters.keys()].filter((name) => !values.has(name));
    const unknown = [...values.keys()].filter((name) => !parameters.has(name));
    if (missing.length > 0) throw new ConfigError(`load: no values for ${some(missing)}`);
    if (unknown.length > 0) throw new ConfigError(`load: no parameter named ${some(unknown)}`);
    for (const [name, parameter] of parameters)
      if (values.get(name)?.length !== parameter.size)
        throw new ShapeError(
          `load: ${name} has ${values.get(name)?.length} values, its shape is ${formatShape(parameter.shape)}`,
        );
    for (const [name, parameter] of parameters) parameter.write(values.get(name) as Float32Array<ArrayBuffer>);
  }

  /**
   * Stores the matrices that products read in 16 bits, two to a word: half the memory, and half the bytes of a decoding step. Products
   * widen them as they load and add in float32. They are frozen from then on; checkpoints that are saved hold the rounded numbers.
   * @throws {ValueError} for a number that float16 cannot hold
   */
  async storeMatrices(storage: Storage): Promise<void> {
    for (const parameter of this.parameters().values())
      if (parameter.isMatrix && parameter.storage !== storage) parameter.storeAs(storage, await parameter.read());
  }

  #declare(name: string, shape: Shape, initializer: Initializer = normal(0.02), isMatrix: boolean): Parameter {
    this.#expectFree(name);
    const parameter = new Parameter(this.device, shape, initializer, isMatrix);
    this.#parameters.set(name, parameter);
    return parameter;
  }

  #expectFree(name: string): void {
    if (this.#parameters.has(name) || this.#children.has(name))
      throw new ConfigError(`${this.constructor.name}: two parts are named "${name}"`);
  }

  /** Frees the parameters. */
  [Symbol.dispose](): void {
    for (const parameter of this.#parameters.values()) parameter.dispose();
    for (const child of this.#children.values()) child[Symbol.dispose]();
  }
}

function some(names: string[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}
