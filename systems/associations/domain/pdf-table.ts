/**
 * Members from the text of a PDF: a table when there is one, else its lines.
 *
 * A row of known headings gives the columns by their position; every later row is read by them, on later pages too, where the headings
 * may be repeated. A cell that continues on the next line belongs to the row above.
 * Invariants: text keeps its order; a row without a name is no record; nothing is split that stands in one cell.
 */
import { takeApart } from "./general/kinds.ts";
import { cleanText } from "./page.ts";

/** A piece of text with its place; `y` grows upwards, as in PDF. */
export interface PlacedText {
  text: string;
  x: number;
  y: number;
  width: number;
  page: number;
}

export type PdfRecord = Record<string, string>;

const HEADINGS: [RegExp, string][] = [
  [
    /^(company|member|organi[sz]ation|business|firm)?( ?name)?$|^(company|member company|organi[sz]ation|business|supplier|exhibitor)$/i,
    "company_name",
  ],
  [/^(street|address|street address|mailing address)( ?1)?$/i, "street"],
  [/^(city|town)$/i, "city"],
  [/^(st|state|province|prov|state\/province)\.?$/i, "state"],
  [/^(zip|zip code|postal code|postcode)$/i, "postal_code"],
  [/^(country)$/i, "country"],
  [/^(phone|telephone|tel|phone number|main phone)\.?$/i, "phone"],
  [/^(web|website|web site|url|homepage)$/i, "website"],
  [/^(e-?mail|email address)$/i, "email"],
  [/^(joined|member since|since|year joined)$/i, "member_since"],
  [/^(tier|level|membership|membership type|type)$/i, "membership_tier"],
];

interface Cell {
  text: string;
  x: number;
  end: number;
}

interface Row {
  cells: Cell[];
  page: number;
  y: number;
}

interface Column {
  field: string | null;
  x: number;
}

/** The records in the texts of a document. */
export function recordsFromPdf(texts: readonly PlacedText[]): PdfRecord[] {
  const rows = rowsOf(texts);
  const records: PdfRecord[] = [];
  let columns: Column[] | null = null;
  let above: Row | null = null;
  for (const row of rows) {
    const headings = headingsOf(row.cells);
    if (headings !== null) columns = headings;
    else if (columns !== null && takeRow(records, row, { columns, above })) above = row;
  }
  return columns === null ? rows.flatMap(({ cells }) => fromLine(cells)) : records;
}

/** Texts on one height are a row; texts close to each other are a cell. */
function rowsOf(texts: readonly PlacedText[]): Row[] {
  const sorted = texts
    .filter(({ text }) => text.trim() !== "")
    .toSorted((a, b) => a.page - b.page || b.y - a.y || a.x - b.x);
  const rows: PlacedText[][] = [];
  for (const text of sorted) {
    const last = rows.at(-1)?.[0];
    if (last !== undefined && last.page === text.page && Math.abs(last.y - text.y) < 3) rows.at(-1)!.push(text);
    else rows.push([text]);
  }
  return rows.map((row) => ({ cells: cellsOf(row.toSorted((a, b) => a.x - b.x)), page: row[0]!.page, y: row[0]!.y }));
}

const WORD_GAP = 6;

function cellsOf(row: readonly PlacedText[]): Cell[] {
  const cells: Cell[] = [];
  for (const { text, x, width } of row) {
    const last = cells.at(-1);
    if (last !== undefined && x - last.end < WORD_GAP) {
      last.text = cleanText(`${last.text}${x - last.end > 1 ? " " : ""}${text}`);
      last.end = x + width;
    } else cells.push({ text: cleanText(text), x, end: x + width });
  }
  return cells;
}

/** The columns, where a row names a company column and at least one other. */
function headingsOf(row: readonly Cell[]): Column[] | null {
  const columns = row.map(({ text, x }) => ({
    x,
    field: HEADINGS.find(([pattern]) => pattern.test(text))?.[1] ?? null,
  }));
  const known = columns.filter(({ field }) => field !== null);
  return known.length >= 2 && known.some(({ field }) => field === "company_name") ? columns : null;
}

/** A cell goes on in the next line, which is near. Titles and page numbers are further away, or on another page. */
const LINE_GAP = 14;

/** True when the row was a record or a part of one. */
function takeRow(
  records: PdfRecord[],
  { cells, page, y }: Row,
  { columns, above }: { columns: readonly Column[]; above: Row | null },
): boolean {
  const record: PdfRecord = {};
  for (const { text, x } of cells) {
    const column = columns.findLast((candidate) => candidate.x <= x + WORD_GAP) ?? columns[0]!;
    if (column.field !== null) record[column.field] = cleanText(`${record[column.field] ?? ""} ${text}`);
  }
  const fields = Object.entries(record);
  if (record.company_name !== undefined && fields.length >= 2) {
    records.push(record);
    return true;
  }
  const last = records.at(-1);
  if (last === undefined || above === null || above.page !== page || above.y - y > LINE_GAP) return false;
  for (const [field, text] of fields) last[field] = cleanText(`${last[field] ?? ""} ${text}`);
  return true;
}

/** Without a table: a line that names somebody and says how to reach them. */
function fromLine(row: readonly Cell[]): PdfRecord[] {
  const pieces = takeApart(row.map(({ text }) => text).join(" | "));
  const name = pieces.find(({ kind }) => kind === "words")?.text;
  const find = (kind: string) => pieces.find((piece) => piece.kind === kind)?.text;
  const record: PdfRecord = {};
  for (const [field, text] of Object.entries({
    street: find("street"),
    place: find("place"),
    phone: find("phone"),
    email: find("email"),
    website: find("url"),
  }))
    if (text !== undefined) record[field] = text;
  return name === undefined || Object.keys(record).length === 0 ? [] : [{ company_name: name, ...record }];
}
