// Trains the tiny model to the end in the folder given, resuming what is there; the test kills it at random times.
import { requestDevice } from "../../src/device/index.ts";
import { TinyModel, tinyTrainer } from "./regression.ts";

const [folder = "", steps = "0"] = process.argv.slice(2);
using device = await requestDevice({ onNotice: false });
using model = new TinyModel(device);
using trainer = tinyTrainer(model, { folder, checkpointEvery: 5, resume: true });
let last = 0;
for await (const { step, stopped } of trainer.run(Number(steps))) {
  last = step;
  process.stdout.write(`${step}${stopped ? " stopped" : ""}\n`);
}
const values = await Promise.all([...model.parameters().values()].map((parameter) => parameter.read()));
process.stdout.write(`done ${last} ${values.flatMap((v) => [...v]).join(",")}\n`);
await device.finish();
