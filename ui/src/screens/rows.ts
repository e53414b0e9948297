/** Rows of CSV and JSONL as text. What can't be read is a row with the line as it is. */
export interface Rows {
  columns: string[];
  rows: string[][];
}

const MOST_COLUMNS = 40;

export function rowsOfJsonl(text: string, cut: boolean): Rows {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (cut) lines.pop();
  const records = lines.map((line): unknown => {
    try {
      return JSON.parse(line);
    } catch {
      return line;
    }
  });
  const names = new Set<string>();
  for (const record of records)
    if (isRecord(record)) for (const name of Object.keys(record)) if (names.size < MOST_COLUMNS) names.add(name);
  const columns = names.size === 0 ? ["value"] : [...names];
  const said = (value: unknown) =>
    typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
  return {
    columns,
    rows: records.map((record) =>
      isRecord(record) ? columns.map((name) => said(record[name])) : [said(record), ...columns.slice(1).map(() => "")],
    ),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function rowsOfCsv(text: string, cut: boolean): Rows {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[i + 1] === '"') {
        cell += '"';
        i += 1;
      } else quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === ",") {
      row.push(cell);
      cell = "";
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && text[i + 1] === "\n") i += 1;
      row.push(cell);
      if (row.length > 1 || cell !== "") rows.push(row);
      row = [];
      cell = "";
    } else cell += char;
  }
  if (!cut && (cell !== "" || row.length > 0)) rows.push([...row, cell]);
  const [columns = [], ...rest] = rows;
  return { columns: columns.map((name, i) => name || `column ${i + 1}`), rows: rest };
}
