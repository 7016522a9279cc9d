export { type Chromium, findChromium } from "./chromium.ts";
export { SoftwareAdapterError } from "./errors.ts";
export { useSoftwareAdapter } from "./use-software-adapter.ts";
export { hasVulkanLoader } from "./vulkan-loader.ts";
