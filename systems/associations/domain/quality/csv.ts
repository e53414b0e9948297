/**
 * Records as CSV (RFC 4180) for spreadsheets.
 *
 * Text that a spreadsheet would run as a formula (it begins with = + - @, also full-width or behind spaces) is preceded by an apostrophe: the
 * text came from web pages of strangers. Control signs but tabs and line ends are left out. Phones in international form keep their plus, as digits cannot be a formula that reaches out.
 */

/** Columns of the export, in order. */
export const CSV_COLUMNS = [
  "company_name",
  "website",
  "phone",
  "email",
  "street",
  "city",
  "state",
  "postal_code",
  "country",
  "associations",
  "membership_tier",
  "member_since",
  "employee_count_min",
  "employee_count_max",
  "revenue_min_usd",
  "revenue_max_usd",
  "year_founded",
  "naics_code",
  "industry",
  "erp_system",
  "crm_system",
  "tech_stack",
  "contact_1_name",
  "contact_1_title",
  "contact_1_email",
  "contact_1_phone",
  "contacts",
  "quality_score",
  "quality_grade",
  "source_url",
] as const;

type Row = { readonly [field: string]: unknown };

/** The first line. */
export function csvHeader(): string {
  return `${CSV_COLUMNS.join(",")}\r\n`;
}

/** One record as a line. */
export function csvLine(record: Row): string {
  return `${CSV_COLUMNS.map((column) => csvCell(cellOf(record, column))).join(",")}\r\n`;
}

/** One value, quoted where it must be. */
export function csvCell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = defused((typeof value === "string" ? value : JSON.stringify(value)).replace(CONTROL_SIGNS, ""));
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const CONTROL_SIGNS = /(?![\t\n\r])\p{Cc}/gu;

function defused(text: string): string {
  if (/^\+?[\d\s().-]+$/.test(text) && /\d/.test(text)) return text;
  return /^(?:[\t\r]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])/.test(text) ? `'${text}` : text;
}

function cellOf(record: Row, column: (typeof CSV_COLUMNS)[number]): unknown {
  const contacts = Array.isArray(record.contacts) ? (record.contacts as Row[]) : [];
  const ofFirst = /^contact_1_(\w+)$/.exec(column)?.[1];
  if (ofFirst !== undefined) return contacts[0]?.[ofFirst];
  if (column === "contacts") return contacts.length === 0 ? null : contacts.map(contactText).join("; ");
  if (column === "associations") return joined(record.associations ?? record.association);
  if (column === "tech_stack") return joined(record.tech_stack);
  return record[column];
}

function contactText({ name, title, email }: Row): string {
  return [name, title, email].filter((part) => typeof part === "string" && part !== "").join(", ");
}

function joined(value: unknown): unknown {
  return Array.isArray(value) ? value.map(String).join("; ") : value;
}
