import { ShaderError } from "./errors.ts";

/** Values for the UPPER_SNAKE names of a .wgsl file; a string is inserted as it is. */
export type Defines = Readonly<Record<string, number | boolean | string>>;

/**
 * Turns one .wgsl file into one of its specialisations.
 * - `#include "name"` inserts one of `includes`, which may include others;
 * - `#if NAME`, `#if !NAME`, `#if NAME == value`, `#else`, `#endif` (nestable) keep or drop lines;
 * - a name of `defines` is replaced by its value wherever it stands as a whole word;
 * - `@unroll for (var i = 0u; i < 4u; i++) { … }` writes the body once an iteration, each in a block of its own, with `i` a
 *   constant and `$i` pasted into identifiers (`sum$i` becomes `sum0`); `@repeat` does the same without the block, so that
 *   declarations live on. Bounds are numbers after replacement. Registers need such constants: a rolled loop keeps an array in memory.
 * @throws {ShaderError} for an unknown include or a directive that does not parse; lines are counted with includes in place
 */
export function preprocess(
  name: string,
  code: string,
  defines: Defines,
  includes: Readonly<Record<string, string>> = {},
): string {
  const included = insert(name, code, includes);
  const chosen = conditionals(name, included, defines);
  return unroll(name, replaceNames(chosen, defines));
}

/** An included file may include others, but not itself. */
function insert(name: string, code: string, includes: Readonly<Record<string, string>>): string {
  return code.replace(/^[ \t]*#include "([^"]+)"[ \t]*$/gm, (_, file: string, at: number) => {
    const { [file]: text, ...others } = includes;
    if (text !== undefined) return insert(name, text, others);
    const line = code.slice(0, at).split("\n").length;
    throw new ShaderError(
      name,
      `no include named "${file}"; known: ${Object.keys(includes).join(", ") || "none"}`,
      line,
    );
  });
}

/** Values may use other names, one level deep. */
function replaceNames(code: string, defines: Defines): string {
  const names = Object.keys(defines);
  if (names.length === 0) return code;
  const words = new RegExp(`\\b(?:${names.join("|")})\\b`, "g");
  const replace = (text: string) => text.replace(words, (word) => literal(defines[word]));
  return replace(replace(code));
}

function literal(value: Defines[string] | undefined): string {
  return typeof value === "number" ? `${value}u` : String(value);
}

function conditionals(name: string, code: string, defines: Defines): string {
  const kept: string[] = [];
  const stack: { taken: boolean; outer: boolean; line: number }[] = [];
  let live = true;
  for (const [index, line] of code.split("\n").entries()) {
    const directive = /^\s*#(if|else|endif)\b\s*(.*)$/.exec(line);
    if (!directive) {
      if (live) kept.push(line);
      continue;
    }
    const top = stack.at(-1);
    if (directive[1] === "if") {
      const taken = condition(name, directive[2] ?? "", index + 1, defines);
      stack.push({ taken, outer: live, line: index + 1 });
      live &&= taken;
    } else if (!top) throw new ShaderError(name, `#${directive[1]} without #if`, index + 1);
    else if (directive[1] === "else") live = top.outer && !top.taken;
    else {
      live = top.outer;
      stack.pop();
    }
  }
  const open = stack.at(-1);
  if (open) throw new ShaderError(name, "#if without #endif", open.line);
  return kept.join("\n");
}

function condition(name: string, text: string, line: number, defines: Defines): boolean {
  const parts = /^(!?)([A-Z][A-Z0-9_]*)\s*(?:(==|!=|>)\s*(\S+))?$/.exec(text.trim());
  if (!parts) throw new ShaderError(name, `cannot read the condition "${text}"`, line);
  const [, not, word = "", relation, operand = ""] = parts;
  const value = defines[word] ?? false;
  const holds =
    relation === undefined
      ? Boolean(value)
      : relation === ">"
        ? Number(value) > Number(operand)
        : (String(value) === operand) === (relation === "==");
  return not ? !holds : holds;
}

function unroll(name: string, code: string): string {
  const head = /@(unroll|repeat) for \(var (\w+) = (\d+)u?; \2 < (\d+)u?; \2(\+\+|\s*\+=\s*([1-9]\d*)u?)\) \{/;
  let rest = code;
  for (let found = head.exec(rest); found; found = head.exec(rest)) {
    const [whole, kind, variable = "", from, to, , step = "1"] = found;
    const start = found.index + whole.length;
    const end = closingBrace(rest, start);
    if (end < 0) throw new ShaderError(name, `@${kind} without a closing brace`);
    const body = rest.slice(start, end);
    const pasted = new RegExp(`\\$${variable}(?![A-Za-z_])`, "g"); // digits may follow: another index was pasted behind it
    const plain = new RegExp(`\\b${variable}\\b`, "g");
    const copies: string[] = [];
    for (let i = Number(from); i < Number(to); i += Number(step)) {
      const text = body.replace(pasted, String(i)).replace(plain, `${i}u`);
      copies.push(kind === "unroll" ? `{${text}}` : text);
    }
    rest = rest.slice(0, found.index) + copies.join("\n") + rest.slice(end + 1);
  }
  const left = /@(unroll|repeat)\b.*/.exec(rest);
  if (left) throw new ShaderError(name, `cannot unroll "${left[0]}": the bounds must be numbers`);
  return rest;
}

function closingBrace(code: string, start: number): number {
  for (let i = start, depth = 1; i < code.length; i++) {
    if (code[i] === "{") depth++;
    else if (code[i] === "}" && --depth === 0) return i;
  }
  return -1;
}
