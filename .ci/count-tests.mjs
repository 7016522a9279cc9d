// Reads the reports that vitest leaves in each package's .turbo folder.
//   node count-tests.mjs clear                  removes them
//   node count-tests.mjs part <name> <totals>   prints their counts, adds them to the file <totals>; exit code 1 if any failed
//   node count-tests.mjs total <totals>         prints the sums
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const hasShared = existsSync(path.join(root, "../shared"));
const reports = ["packages", "apps"]
  .flatMap((parent) => readdirSync(path.join(root, parent)).map((name) => path.join(root, parent, name)))
  .flatMap((folder) => ["test", "slow"].map((kind) => path.join(folder, ".turbo", `vitest-${kind}.json`)))
  .filter(existsSync);

const isSkipped = ({ status }) => status === "skipped" || status === "pending" || status === "todo";

/** Counts one test file. One that could not even be loaded is a failure, and so is a test that skips although ../shared is there. */
function countFile({ name, status, message, assertionResults }) {
  const passed = assertionResults.filter((test) => test.status === "passed").length;
  const skipped = assertionResults.filter(isSkipped);
  const file = path.relative(root, name);
  let failed = assertionResults.length - passed - skipped.length;
  for (const { fullName } of assertionResults.filter((test) => test.status === "failed"))
    console.log(`FAILED ${file}: ${fullName}`);
  if (status === "failed" && failed === 0) {
    console.log(`FAILED ${file}: ${message.split("\n", 1)[0]}`);
    failed = 1;
  }
  const needsShared = hasShared && /hasShared|sharedPath|shared\//.test(readFileSync(name, "utf8"));
  if (needsShared)
    for (const { fullName } of skipped) console.log(`SKIPPED although ../shared exists: ${file}: ${fullName}`);
  return needsShared
    ? { passed, failed: failed + skipped.length, skipped: 0 }
    : { passed, failed, skipped: skipped.length };
}

function sum(counts) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const count of counts) for (const key of Object.keys(total)) total[key] += count[key];
  return total;
}

const format = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed, ${skipped} skipped`;
const [command, ...operands] = process.argv.slice(2);

if (command === "clear") for (const report of reports) rmSync(report);
if (command === "part") {
  const [name, totals] = operands;
  const counts = sum(reports.flatMap((file) => JSON.parse(readFileSync(file, "utf8")).testResults).map(countFile));
  appendFileSync(totals, `${JSON.stringify(counts)}\n`);
  if (reports.length > 0) console.log(`${name}: ${format(counts)}`);
  if (counts.failed > 0) process.exitCode = 1;
}
if (command === "total") {
  const lines = readFileSync(operands[0], "utf8").split("\n").filter(Boolean);
  console.log(format(sum(lines.map((line) => JSON.parse(line)))));
}
