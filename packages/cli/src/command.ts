import { inspect } from "node:util";
import { Command, CommanderError } from "commander";
import { colorsFor } from "./colors.ts";
import { isUserFacing } from "./user-error.ts";

/** One line of the help's example block: a command that works as it stands, and what it does. */
export interface Example {
  readonly command: string;
  readonly does: string;
}

export interface ProgramOptions {
  readonly name: string;
  readonly description: string;
  readonly version: string;
  readonly examples: readonly Example[];
}

/** The options that every program has; read them with `command.optsWithGlobals()`. */
export interface SharedOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/**
 * A commander program with the shared options --json and --quiet, an example block in its help, and suggestions for
 * mistyped options. Subcommands made with `program.command()` inherit all of it. Start it with `run`.
 */
export function createProgram({ name, description, version, examples }: ProgramOptions): Command {
  const program = new Command(name)
    .description(description)
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .option("--json", "print the result as JSON, and nothing else, on stdout")
    .option("--quiet", "show no progress")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} }) // `run` prints it
    .exitOverride();
  return addExamples(program, examples);
}

/** Adds an example block to the help of a program or subcommand. */
export function addExamples(command: Command, examples: readonly Example[]): Command {
  const lines = examples.map((example) => `  # ${example.does}\n  $ ${example.command}\n`);
  return command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

/**
 * Parses the command line, runs the chosen action and waits for it.
 *
 * Exit code 0: done. 2: the user's mistake (commander's errors and every error with `userFacing: true`), one sentence on
 * stderr. 1: anything else, a defect, with its stack. Only `process.exitCode` is set: leaving by `process.exit` while
 * work is in flight can crash a GPU driver, so the process ends when its work does.
 */
export async function run(program: Command, argv: readonly string[] = process.argv): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    stream.off("error", ignoreBrokenPipe).on("error", ignoreBrokenPipe);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = report(error, program.name());
  }
}

/** A reader that has seen enough (`| head`) is no failure of the program. */
function ignoreBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

function report(error: unknown, name: string): number {
  const { red, dim } = colorsFor(process.stderr);
  const say = (line: string) => process.stderr.write(`${line}\n`);
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    const helpWasShown = error.code === "commander.help";
    if (!helpWasShown) say(`${red("error:")} ${error.message.replace(/^error: /, "").replaceAll("\n", " ")}`);
    return 2;
  }
  if (isUserFacing(error)) {
    say(`${red("error:")} ${error.message}`);
    return 2;
  }
  say(`${red("error:")} ${error instanceof Error ? error.message : String(error)}`);
  say(`This is a defect in ${name}, not a mistake of yours. Please report it with the command and the lines below.`);
  say(dim(inspect(error)));
  return 1;
}
