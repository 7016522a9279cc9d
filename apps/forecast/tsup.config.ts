import { library } from "../../tooling/tsup.ts";

export default library({
  cli: "src/cli.ts",
});
