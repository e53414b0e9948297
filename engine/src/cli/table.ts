/** Tables of text: columns as wide as their content, the widest one cut so that a row fits the terminal. */
import { cut, type Paint, type Style, widthOf } from "./terminal.ts";

export interface Column {
  title: string;
  align?: "right";
  /** Gives way first when a row is too wide. */
  shrink?: boolean;
}

export interface Cell {
  text: string;
  style?: Style | undefined;
}

const GAP = 2;
const LEAST_SHRUNK = 8;

/** Lines of a table with its head. `width` null: as wide as it needs. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly (string | Cell)[])[],
  paint: Paint,
  width: number | null,
): string[] {
  const cells = rows.map((row) => row.map((cell): Cell => (typeof cell === "string" ? { text: cell } : cell)));
  const widths = columns.map((column, index) =>
    Math.max(widthOf(column.title), ...cells.map((row) => widthOf(row[index]?.text ?? ""))),
  );
  if (width !== null) shrink(columns, widths, width);
  const line = (row: readonly Cell[], style?: Style): string =>
    row
      .map((cell, index) => {
        const text = cut(cell.text, widths[index]!);
        const gap = " ".repeat(Math.max(0, widths[index]! - widthOf(text)));
        const painted = paintWith(paint, cell.style ?? style, text);
        return columns[index]!.align === "right" ? gap + painted : painted + gap;
      })
      .join(" ".repeat(GAP))
      .trimEnd();
  return [
    line(
      columns.map((column) => ({ text: column.title })),
      "dim",
    ),
    ...cells.map((row) => line(row)),
  ];
}

function shrink(columns: readonly Column[], widths: number[], width: number): void {
  const total = () => widths.reduce((sum, each) => sum + each, 0) + GAP * (widths.length - 1);
  for (let over = total() - width; over > 0; over = total() - width) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      if (column.shrink !== true || widths[index]! <= LEAST_SHRUNK) continue;
      if (widest < 0 || widths[index]! > widths[widest]!) widest = index;
    }
    if (widest < 0) return;
    widths[widest] = Math.max(LEAST_SHRUNK, widths[widest]! - over);
  }
}

function paintWith(paint: Paint, style: Style | undefined, text: string): string {
  return style === undefined ? text : paint(style, text);
}
