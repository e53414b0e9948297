/** Values of a table row by the headings of its columns. */
import type { Labelled } from "../labels.ts";
import { cleanText } from "../page.ts";
import { textOf } from "../xpath.ts";
import type { Block } from "./shape.ts";

/** By heading in lower case; empty where the record is no table row, or its table has no headings. */
export function columnsOf({ nodes }: Block): Map<string, Labelled> {
  const columns = new Map<string, Labelled>();
  const row = nodes[0];
  if (nodes.length !== 1 || row?.name !== "tr") return columns;
  const headings = headingsOf(tableOf(row));
  for (const { node, column } of [...cellsOf(row), ...cellsAbove(row)]) {
    const heading = headings.get(column);
    if (heading === undefined || heading === "" || columns.has(heading)) continue;
    const lines = linesOf(node);
    if (lines.length > 0) columns.set(heading, { lines, href: hrefIn(node) });
  }
  return columns;
}

/** Cells of rows above that reach down into this one. */
function cellsAbove(row: any): { node: any; column: number }[] {
  layOut(tableOf(row));
  return reachingInto.get(row) ?? [];
}

function tableOf(row: any): any {
  let at = row.parent;
  while (at && at.name !== "table") at = at.parent;
  return at ?? row.parent;
}

const headingsByTable = new WeakMap<any, Map<number, string>>();

/** The first row that consists of headings. */
function headingsOf(table: any): Map<number, string> {
  const known = headingsByTable.get(table);
  if (known !== undefined) return known;
  const rows = rowsBelow(table);
  const row = rows.slice(0, 4).find((candidate) => {
    const cells = cellsOf(candidate);
    return cells.length > 1 && (candidate.parent?.name === "thead" || cells.every(({ node }) => node.name === "th"));
  });
  const headings = new Map(
    (row === undefined ? [] : cellsOf(row)).map(({ node, column }) => [
      column,
      cleanText(textOf(node))
        .replace(/\s*[:#*▲▼↑↓]+$/, "")
        .toLowerCase(),
    ]),
  );
  headingsByTable.set(table, headings);
  return headings;
}

function rowsBelow(table: any): any[] {
  return (table?.children ?? []).flatMap((node: any) =>
    node.name === "tr" ? [node] : /^t(head|body|foot)$/.test(node.name ?? "") ? rowsBelow(node) : [],
  );
}

/** The column of each cell by the table's grid: cells that span rows push those below to the right. */
const columnByCell = new WeakMap<any, number>();
const reachingInto = new WeakMap<any, { node: any; column: number }[]>();
const laidOut = new WeakSet<any>();
const MAX_SPAN = 1_000;

function layOut(table: any): void {
  if (laidOut.has(table)) return;
  laidOut.add(table);
  // By column: rows that a cell from above still fills.
  const filled = new Map<number, { left: number; node: any }>();
  for (const row of rowsBelow(table)) {
    let column = 0;
    const taken = new Map(filled);
    if (taken.size > 0)
      reachingInto.set(
        row,
        [...taken].map(([at, { node }]) => ({ node, column: at })),
      );
    for (const [at, { left, node }] of filled) left <= 1 ? filled.delete(at) : filled.set(at, { left: left - 1, node });
    for (const node of (row.children ?? []).filter(isCell)) {
      while (taken.has(column)) column++;
      columnByCell.set(node, column);
      const [width, height] = [spanOf(node, "colspan"), spanOf(node, "rowspan")];
      for (let at = column; height > 1 && at < column + width; at++) filled.set(at, { left: height - 1, node });
      column += width;
    }
  }
}

const isCell = (node: any) => node.name === "td" || node.name === "th";

function spanOf(node: any, name: string): number {
  return Math.min(MAX_SPAN, Math.max(1, Number.parseInt(node.attribs[name] ?? "1", 10) || 1));
}

/** Where a cell stands in its table, from 0. */
export function columnOf(cell: any): number {
  layOut(tableOf(cell));
  return columnByCell.get(cell) ?? 0;
}

function cellsOf(row: any): { node: any; column: number }[] {
  return (row.children ?? []).filter(isCell).map((node: any) => ({ node, column: columnOf(node) }));
}

function linesOf(node: any): string[] {
  const parts: string[] = [""];
  const visit = (one: any): void => {
    if (one.type === "text") parts[parts.length - 1] += one.data;
    if (/^(br|div|p|li)$/.test(one.name ?? "")) parts.push("");
    for (const child of one.children ?? []) visit(child);
  };
  visit(node);
  return parts.map(cleanText).filter((line) => line !== "");
}

function hrefIn(node: any): string | null {
  if (node.name === "a" && node.attribs.href) return node.attribs.href;
  for (const child of node.children ?? []) {
    const found = hrefIn(child);
    if (found !== null) return found;
  }
  return null;
}
