import { existsSync } from "node:fs";
import { checkProfileFile, createProgress, type SharedOptions, UserError } from "@moebius/cli";
import { runBench } from "./bench.ts";
import { committedRatios, compareRatios, ratiosFile, readRatios, saveRatios } from "./ratios.ts";
import { printBench, printRow } from "./report.ts";

interface Options extends SharedOptions {
  rounds: number;
  check: boolean;
  save: boolean;
  peers: string | false;
  profile?: string;
}

/** Measures, prints, and compares with the committed ratios or writes them. */
export async function benchCommand(names: readonly string[], options: Options): Promise<void> {
  const { rounds, check, save, json = false, quiet = false, profile } = options;
  if (check && save) throw new UserError("--check compares with what --save writes: give one of them");
  await checkProfileFile(profile);
  using progress = createProgress({ quiet: quiet || json });
  const peers = options.peers !== false && existsSync(options.peers) ? options.peers : undefined;
  if (peers === undefined && options.peers !== false)
    progress.say(`no peers in ${options.peers}: their rows are left out; --peers names another folder`);
  const committed = await readRatios(ratiosFile());
  const { adapterClass, rows } = await runBench({
    names,
    rounds,
    peers,
    profile,
    progress,
    ...(check ? { onAdapter: (adapterClass) => void committedRatios(committed, adapterClass) } : {}),
    ...(json ? { onRow: printRow } : {}),
  });
  if (!json) printBench(rows);
  if (save) await saveRatios(ratiosFile(), adapterClass, rows);
  if (!check) return;
  const { worse, notes } = compareRatios(committedRatios(committed, adapterClass), rows);
  for (const note of notes) process.stderr.write(`${note}\n`);
  for (const line of worse) process.stderr.write(`WORSE ${line}\n`);
  if (worse.length > 0) process.exitCode = 1;
}
