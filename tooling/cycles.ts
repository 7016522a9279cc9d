/** Finds circles in a graph of imports: each as the path from a file back to itself, one for every edge that closes one. */
export function findCycles(importsByFile: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const finished = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      cycles.push([...path.slice(start), file]);
      return;
    }
    if (finished.has(file)) return;
    path.push(file);
    for (const imported of importsByFile.get(file) ?? []) visit(imported);
    path.pop();
    finished.add(file);
  };
  for (const file of importsByFile.keys()) visit(file);
  return cycles;
}
