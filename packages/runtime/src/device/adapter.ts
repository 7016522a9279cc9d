/** Which kind of adapter to use. `auto` takes the first that answers, in the order given here. */
export type AdapterChoice = "auto" | "hardware" | "software" | "embedded";

export const ADAPTER_CHOICES: readonly AdapterChoice[] = ["auto", "hardware", "software", "embedded"];

/** hardware: a GPU; software: the system's CPU renderer (lavapipe, WARP); embedded: the SwiftShader that comes along. */
export type AdapterClass = Exclude<AdapterChoice, "auto">;

/** An adapter and the WGSL extensions of its instance. */
export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly adapterClass: AdapterClass;
  readonly languageFeatures: ReadonlySet<string>;
}

/** What the host's search for an adapter answers: the adapter, or what was tried in vain and what the user can do. */
export type AdapterSearch =
  | FoundAdapter
  | { readonly adapter: undefined; readonly tried: readonly string[]; readonly remedy: string };

/** What the host says about itself, before any adapter is asked for. */
export interface HostDescription {
  /** Node's name of the system and processor, or "browser". */
  readonly platform: string;
  /** Whether the system has a Vulkan loader; undefined where none is needed or it cannot be told. */
  readonly vulkanLoader: boolean | undefined;
  /** What MOEBIUS_ADAPTER asks for. */
  readonly requestedAdapter: string | undefined;
}

/** Tells software adapters by name: isFallbackAdapter is not reliable (lavapipe sets it, but cannot be asked for by it). */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return /llvmpipe|lavapipe|swiftshader|software|basic render|warp/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );
}
