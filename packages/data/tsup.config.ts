import { library } from "../../tooling/tsup.ts";

export default library({
  index: "src/index.ts",
  "files.node": "src/files.node.ts",
  "files.browser": "src/files.browser.ts",
});
