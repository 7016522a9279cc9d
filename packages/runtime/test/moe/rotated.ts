/** Pairs (j, j + D/2) turned by position · 10000^(−2j/D). */
export function rotated(row: readonly number[], position: number): number[] {
  const half = row.length / 2;
  return row.map((value, i) => {
    const angle = position * 10_000 ** ((-2 * (i % half)) / row.length);
    const other = (i < half ? -1 : 1) * (row[(i + half) % row.length] as number);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}
