import { testConfig } from "../../tooling/vitest.ts";

export default testConfig();
