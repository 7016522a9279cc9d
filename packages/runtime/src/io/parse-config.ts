import { ConfigError } from "../device/errors.ts";

interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly input?: unknown;
}

/** What a schema of zod, or one like it, answers. */
interface ConfigSchema<Config> {
  safeParse(
    config: unknown,
    options: { reportInput: boolean },
  ): { success: true; data: Config } | { success: false; error: { issues: readonly Fault[] } };
}

/**
 * Reads a published config.json.
 * @param source its name, for the message
 * @throws {ConfigError} that names each offending key, what was expected and what came
 */
export function parseConfigWith<Config>(schema: ConfigSchema<Config>, config: unknown, source: string): Config {
  const parsed = schema.safeParse(config, { reportInput: true });
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path: [key, index], message, input }) => {
    const place = key === undefined ? "" : `${String(key)}${index === undefined ? "" : `[${String(index)}]`} `;
    return `${place}${message}, got ${input === undefined ? "nothing" : JSON.stringify(input)}`;
  });
  throw new ConfigError(`${source}: ${faults.join("; ")}`);
}
