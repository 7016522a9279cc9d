/** What a scope can drop or keep. */
interface Handle extends Disposable {
  readonly isDisposed: boolean;
}

const scopes: Set<Handle>[] = [];

/** Registers a handle with the innermost scope, if there is one. */
export function adopt(handle: Handle): void {
  scopes.at(-1)?.add(handle);
}

/** Takes a handle out of every scope: its owner disposes it. */
export function keep<T extends Handle>(handle: T): T {
  for (const scope of scopes) scope.delete(handle);
  return handle;
}

/**
 * Runs `fn` and disposes the tensors made inside, except those in what it returns: a tensor, or arrays and plain objects of
 * them at any depth. These pass to the enclosing scope. On an exception all are disposed.
 * @throws {TypeError} when `fn` returns a promise or an iterator: what runs later is outside the scope
 */
export function scope<T>(fn: () => T): T {
  const made = new Set<Handle>();
  scopes.push(made);
  try {
    const result = fn();
    if (isDeferred(result))
      throw new TypeError("scope: the function must be synchronous, but it returned a promise or an iterator");
    for (const handle of handlesIn(result)) if (made.delete(handle)) scopes.at(-2)?.add(handle);
    return result;
  } finally {
    scopes.pop();
    for (const handle of made) handle[Symbol.dispose]();
  }
}

function isDeferred(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && ("then" in value || "next" in value);
}

function* handlesIn(value: unknown): Generator<Handle> {
  if (typeof value !== "object" || value === null) return;
  if ("isDisposed" in value && Symbol.dispose in value) yield value as Handle;
  else if (Array.isArray(value) || value instanceof Map || value instanceof Set)
    for (const item of value instanceof Map ? value.values() : value) yield* handlesIn(item);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) yield* handlesIn(item);
}
