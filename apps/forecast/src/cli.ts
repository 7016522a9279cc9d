import { createProgram, doctorCommand, run } from "@moebius/cli";
import { addAnomaliesCommand } from "./anomalies-command.ts";
import { addEvaluateCommand } from "./evaluate-command.ts";
import { addForecastCommand } from "./forecast-command.ts";
import { addTrainCommand } from "./train-command.ts";

const program = createProgram({
  name: "forecast",
  description: "Forecast time series with Time-MoE, on any GPU or none.",
  version: "0.1.0",
  examples: [
    {
      command: "forecast sales.csv --column revenue --horizon 30 --plot sales.png",
      does: "forecast a column and draw it (more: forecast forecast --help)",
    },
    { command: "forecast evaluate sales.csv --column revenue --horizons 7,30", does: "compare with naive forecasts" },
    { command: "forecast anomalies sensors.csv --column temperature --plot odd.png", does: "find unusual points" },
    { command: "forecast train sales.csv --column revenue --folder runs/sales", does: "train a model of your own" },
  ],
});

addForecastCommand(program);
addEvaluateCommand(program);
addAnomaliesCommand(program);
addTrainCommand(program);
doctorCommand(program);

await run(program);
