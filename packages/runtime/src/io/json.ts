import { CheckpointError } from "../device/errors.ts";
import { reason } from "./byte-source.ts";

/** Deeper nesting has no use in a header or an index, and costs the parser memory for each level. */
const MAX_DEPTH = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses JSON from UTF-8 bytes, strictly: an object with the same key twice is refused, where JSON.parse keeps the last one.
 * @throws {CheckpointError} on invalid UTF-8, invalid JSON, a repeated key, nesting deeper than 64
 */
export function parseJson(file: string, bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CheckpointError(file, "its JSON is not valid UTF-8");
  }
  checkStructure(file, text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(file, `is not valid JSON: ${reason(error)}`);
  }
}

/** Runs over text that may be no JSON at all: what is malformed is left to JSON.parse. */
function checkStructure(file: string, text: string): void {
  const keysOfOpen: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      const end = endOfString(text, i);
      // In well-formed JSON a string before a colon is a key.
      const keys = isBeforeColon(text, end + 1) ? keysOfOpen.at(-1) : undefined;
      if (keys) {
        const key = decodeKey(text.slice(i, end + 1));
        if (keys.has(key)) throw new CheckpointError(file, `its JSON has the key ${shorten(key)} twice`);
        keys.add(key);
      }
      i = end;
    } else if (character === "{" || character === "[") {
      if (keysOfOpen.push(character === "{" ? new Set() : undefined) > MAX_DEPTH)
        throw new CheckpointError(file, `its JSON is nested deeper than ${MAX_DEPTH} levels`);
    } else if (character === "}" || character === "]") keysOfOpen.pop();
  }
}

function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
  return i;
}

function isBeforeColon(text: string, start: number): boolean {
  let i = start;
  while (text[i] === " " || text[i] === "\n" || text[i] === "\t" || text[i] === "\r") i++;
  return text[i] === ":";
}

/** Two spellings of a key ("a" and "\u0061") are one key. */
function decodeKey(literal: string): string {
  if (!literal.includes("\\")) return literal.slice(1, -1);
  try {
    return JSON.parse(literal) as string;
  } catch {
    return literal;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value for a message: never longer than a line, however large the value is. */
export function shorten(value: unknown): string {
  if (Array.isArray(value)) {
    const simple = value.length <= 8 && value.every((item) => typeof item !== "object" && typeof item !== "string");
    return simple ? `[${value.join(", ")}]` : `an array of ${value.length}`;
  }
  if (isObject(value)) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
