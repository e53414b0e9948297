/** The final dataset in the columns that CRM systems import: accounts and contacts for Salesforce, companies for HubSpot. */
import { csvCell } from "./csv.ts";

type Row = { readonly [field: string]: unknown };
type Column = readonly [heading: string, value: (record: Row, contact: Row) => unknown];

const of = (field: string) => (record: Row) => record[field];
const ofContact = (field: string) => (_: Row, contact: Row) => contact[field];

const ACCOUNT_COLUMNS: readonly Column[] = [
  ["Name", of("company_name")],
  ["Website", of("website")],
  ["Phone", of("phone")],
  ["BillingStreet", of("street")],
  ["BillingCity", of("city")],
  ["BillingState", of("state")],
  ["BillingPostalCode", of("postal_code")],
  ["BillingCountry", of("country")],
  ["Industry", of("industry")],
  ["NumberOfEmployees", of("employee_count_min")],
  ["AnnualRevenue", of("revenue_min_usd")],
  ["YearStarted", of("year_founded")],
  ["NaicsCode", of("naics_code")],
  ["AccountSource", (record) => associations(record)],
];

const CONTACT_COLUMNS: readonly Column[] = [
  ["FirstName", (_, { name }) => nameParts(name).first],
  ["LastName", (_, { name }) => nameParts(name).last],
  ["Title", ofContact("title")],
  ["Email", ofContact("email")],
  ["Phone", ofContact("phone")],
  ["Account.Name", of("company_name")],
  ["Account.Website", of("website")],
  ["LeadSource", ofContact("source")],
];

const HUBSPOT_COLUMNS: readonly Column[] = [
  ["Company name", of("company_name")],
  ["Company domain name", (record) => hostOf(record.website)],
  ["Phone number", of("phone")],
  ["Street address", of("street")],
  ["City", of("city")],
  ["State/Region", of("state")],
  ["Postal code", of("postal_code")],
  ["Country/Region", of("country")],
  ["Industry", of("industry")],
  ["Number of employees", of("employee_count_min")],
  ["Annual revenue", of("revenue_min_usd")],
  ["Year founded", of("year_founded")],
  ["LinkedIn company page", of("linkedin_url")],
];

export interface CrmExport {
  file: string;
  columns: readonly Column[];
  /** One line for each contact, instead of one for each company. */
  perContact?: true;
}

export const CRM_EXPORTS: readonly CrmExport[] = [
  { file: "salesforce_accounts.csv", columns: ACCOUNT_COLUMNS },
  { file: "salesforce_contacts.csv", columns: CONTACT_COLUMNS, perContact: true },
  { file: "hubspot_companies.csv", columns: HUBSPOT_COLUMNS },
];

export function crmHeader({ columns }: CrmExport): string {
  return line(columns.map(([heading]) => heading));
}

/** The lines of one record; none for a record without contacts where lines are contacts. */
export function crmLines({ columns, perContact }: CrmExport, record: Row): string[] {
  const contacts = Array.isArray(record.contacts) ? (record.contacts as Row[]) : [];
  return (perContact ? contacts : [{}]).map((contact) => line(columns.map(([, value]) => value(record, contact))));
}

function line(values: readonly unknown[]): string {
  return `${values.map(csvCell).join(",")}\r\n`;
}

function associations({ associations: several, association }: Row): unknown {
  return Array.isArray(several) ? several.map(String).join("; ") : association;
}

/** Salesforce needs a last name; a single name is one. */
function nameParts(name: unknown): { first: string; last: string } {
  const words = typeof name === "string" ? name.trim().split(/\s+/) : [];
  return { first: words.slice(0, -1).join(" "), last: words.at(-1) ?? "" };
}

function hostOf(website: unknown): string | null {
  if (typeof website !== "string" || website === "") return null;
  const url = URL.parse(/^https?:\/\//i.test(website) ? website : `https://${website}`);
  return url === null ? null : url.hostname.replace(/^www\./, "");
}
