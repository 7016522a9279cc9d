import { type AdapterChoice, type AdapterSearch, type HostDescription, isSoftware } from "./adapter.ts";

// Pages and workers have one; Node's types do not know it.
declare const navigator: { readonly gpu?: GPU } | undefined;

/** The page's own WebGPU. A page cannot choose a renderer, so `software` and `embedded` only say what is acceptable. */
export async function findAdapter(choice: AdapterChoice): Promise<AdapterSearch> {
  const none = (what: string) => ({
    adapter: undefined,
    tried: [what],
    remedy:
      "use a browser with WebGPU (Chrome 121, Safari 26, Firefox 141 or later) on a page served by https or from localhost",
  });
  const gpu = typeof navigator === "undefined" ? undefined : navigator.gpu;
  if (!gpu) return none("navigator.gpu: not there");
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return none("navigator.gpu.requestAdapter: no adapter");
  const adapterClass = isSoftware(adapter.info) ? "software" : "hardware";
  if (choice === "hardware" && adapterClass !== "hardware")
    return none(`the browser offers ${adapter.info.description || "a software adapter"} only`);
  return { adapter, adapterClass, languageFeatures: gpu.wgslLanguageFeatures as ReadonlySet<string> };
}

export async function describeHost(): Promise<HostDescription> {
  return { platform: "browser", vulkanLoader: undefined, requestedAdapter: undefined };
}

/** A page must not block; the browser schedules GPU waits by itself. */
export function settle<T>(promise: Promise<T>, _gently: boolean): Promise<T> {
  return promise;
}

export function environmentAdapter(): string | undefined {
  return undefined;
}

/** Pages are not told how much memory there is; this much is what mobile browsers tolerate. */
export function memoryBudget(_isHardware: boolean): number {
  return 2 ** 30;
}
