/** Tables as text, for tests in which each row meets each column. Owner: testing. */

/** Rows by columns, each cell what its column says of the row. */
export function table(rows: readonly string[], columns: Record<string, (row: string) => string>): string {
  const width = (texts: string[]) => Math.max(...texts.map((text) => text.length));
  const names = Object.keys(columns);
  const cells = rows.map((row) => [row, ...names.map((name) => columns[name]?.(row) ?? "")]);
  const lines = [["", ...names], ...cells];
  const widths = (lines[0] as string[]).map((_, at) => width(lines.map((line) => line[at] as string)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] as number))
        .join(" | ")
        .trimEnd(),
    )
    .join("\n");
}
