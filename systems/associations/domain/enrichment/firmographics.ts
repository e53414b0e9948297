/** Facts about the size and kind of a company, in one form whoever they come from. */

export interface Firmographics {
  employee_count_min: number | null;
  employee_count_max: number | null;
  revenue_min_usd: number | null;
  revenue_max_usd: number | null;
  year_founded: number | null;
  naics_code: string | null;
  industry: string | null;
  linkedin_url: string | null;
}

export interface Range {
  min: number | null;
  max: number | null;
}

const SCALES: Readonly<Record<string, number>> = {
  k: 1e3,
  thousand: 1e3,
  m: 1e6,
  mm: 1e6,
  mio: 1e6,
  million: 1e6,
  b: 1e9,
  bn: 1e9,
  billion: 1e9,
};

/** "$10M-$50M", "50 million", "$1.2B+", 5000000, "51-200", "10,001+", "1 to 10" as a range; nulls where nothing is recognised. */
export function rangeOf(value: unknown): Range {
  if (typeof value === "number") return Number.isFinite(value) && value >= 0 ? { min: value, max: value } : NOTHING;
  if (typeof value !== "string" || /^\s*[$€£]?\s*[-\u2212]\s*[$€£]?\s*\d/.test(value)) return NOTHING;
  const found = [...value.matchAll(/(\d[\d,]*(?:\.\d+)?)\s*(thousand|million|billion|mio|mm|bn|[kmb])?(?![\p{L}])/giu)];
  const [first, second] = found;
  if (first === undefined) return NOTHING;
  // "10-50M" means millions on both sides.
  const scaleOf = (match: RegExpExecArray) => SCALES[(match[2] ?? "").toLowerCase()];
  const scale = scaleOf(first) ?? (second === undefined ? 1 : (scaleOf(second) ?? 1));
  const min = Number(first[1]!.replaceAll(",", "")) * scale;
  if (second === undefined) {
    if (/\+|more than|over|above|>/i.test(value)) return { min, max: null };
    return /less than|under|up to|below|</i.test(value) ? { min: null, max: min } : { min, max: min };
  }
  const max = Number(second[1]!.replaceAll(",", "")) * (scaleOf(second) ?? 1);
  return max >= min ? { min, max } : { min, max: min };
}

const NOTHING: Range = { min: null, max: null };

/** A year in which a company may have been founded. */
export function yearOf(value: unknown): number | null {
  const year =
    typeof value === "number" ? value : typeof value === "string" ? Number(/\d{4}/.exec(value)?.[0]) : Number.NaN;
  return Number.isInteger(year) && year >= 1500 && year <= 2200 ? year : null;
}

/** A text that says something. */
export function textOf(value: unknown): string | null {
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  const text = typeof value === "string" ? value.trim() : "";
  return text === "" || /^(?:n\/?a|null|none|unknown|-+)$/i.test(text) ? null : text;
}

/** The address of a company's LinkedIn page, from an address or a handle (`company/acme`, `acme`). */
export function linkedinUrl(value: unknown): string | null {
  const text = textOf(value);
  if (text === null) return null;
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : /linkedin\.com\//i.test(text) ? `https://${text}` : "");
  if (url !== null)
    return /(^|\.)linkedin\.com$/i.test(url.hostname)
      ? `https://www.linkedin.com${url.pathname.replace(/\/+$/, "")}`
      : null;
  const handle = text.replace(/^\/+|\/+$/g, "");
  if (!/^[\p{L}\p{N}/_.-]+$/u.test(handle)) return null;
  return `https://www.linkedin.com/${handle.includes("/") ? handle : `company/${handle}`}`;
}

/** Firmographics with only what was found. @returns null when nothing was */
export function firmographicsOf(parts: {
  employees?: unknown;
  revenue?: unknown;
  founded?: unknown;
  naics?: unknown;
  industry?: unknown;
  linkedin?: unknown;
}): Firmographics | null {
  const employees = rangeOf(parts.employees);
  const revenue = rangeOf(parts.revenue);
  const all: Firmographics = {
    employee_count_min: upTo(MOST_EMPLOYEES, employees.min),
    employee_count_max: upTo(MOST_EMPLOYEES, employees.max),
    revenue_min_usd: upTo(MOST_REVENUE, revenue.min),
    revenue_max_usd: upTo(MOST_REVENUE, revenue.max),
    year_founded: yearOf(parts.founded),
    naics_code: naicsOf(parts.naics),
    industry: textOf(parts.industry),
    linkedin_url: linkedinUrl(parts.linkedin),
  };
  return Object.values(all).every((value) => value === null) ? null : all;
}

/** Several times what the largest company has; more is a fault of the provider. */
const MOST_EMPLOYEES = 20_000_000;
const MOST_REVENUE = 10_000_000_000_000;

function upTo(most: number, value: number | null): number | null {
  return value === null || value > most ? null : Math.round(value);
}

function naicsOf(value: unknown): string | null {
  const code = /\d{2,6}/.exec(textOf(Array.isArray(value) ? value[0] : value) ?? "")?.[0];
  return code ?? null;
}
