export { KvCache, type KvCacheOptions, type LayerCache } from "./kv-cache.ts";
