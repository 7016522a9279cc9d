import { type NoAdapterError, requestDevice } from "../../src/device/index.ts";

await requestDevice().catch(({ name, message, tried }: NoAdapterError) => {
  console.log(JSON.stringify({ name, message, tried }));
});
