import { library } from "../../tooling/tsup.ts";

export default library({
  index: "src/index.ts",
  browser: "src/browser.ts",
  "shared.node": "src/shared.node.ts",
  "shared.browser": "src/shared.browser.ts",
});
