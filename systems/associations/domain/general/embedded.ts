/**
 * Records that a page carries as data: JSON-LD, JSON in scripts and attributes, and answers that are JSON as a whole.
 *
 * Objects are grouped by where they stand (`props.members.*`); the group that names the most companies with the most fields wins.
 * Invariants: nothing is executed, only literals are read; what cannot be read is passed over.
 */

import { parseAddress } from "../address.ts";
import type { Page } from "../page.ts";
import { cleanText } from "../page.ts";
import { resolveUrl, sameSite } from "../url.ts";
import { readFlight, readLiterals } from "./literals.ts";
import { recordsOfRows } from "./rows.ts";

export type DataRecord = Record<string, string>;

export interface DataGroup {
  /** Where the objects stand, list positions as `*`. */
  path: string;
  records: DataRecord[];
}

const KEYS: Record<string, readonly string[]> = {
  company_name: [
    "companyname",
    "company",
    "organizationname",
    "organisationname",
    "organization",
    "businessname",
    "membername",
    "accountname",
    "legalname",
    "orgname",
    "displayname",
    "firmname",
    "name",
    "title",
    "label",
  ],
  phone: [
    "phone",
    "telephone",
    "tel",
    "phonenumber",
    "mainphone",
    "officephone",
    "businessphone",
    "workphone",
    "phone1",
    "primaryphone",
    "phonemain",
  ],
  email: ["email", "emailaddress", "mail", "contactemail"],
  website: [
    "website",
    "websiteurl",
    "siteurl",
    "homepage",
    "web",
    "webaddress",
    "weburl",
    "webpage",
    "companyurl",
    "companywebsite",
    "externalurl",
    "sameas",
    "url",
    "link",
  ],
  street: [
    "street",
    "streetaddress",
    "address1",
    "addressline1",
    "line1",
    "street1",
    "address",
    "streetname",
    "addr1",
    "mailingaddress",
  ],
  city: ["city", "locality", "addresslocality", "town", "cityname"],
  state: [
    "state",
    "region",
    "addressregion",
    "stateprovince",
    "province",
    "statecode",
    "stateabbr",
    "administrativearea",
    "prov",
  ],
  postal_code: ["zip", "zipcode", "postalcode", "postcode", "postal", "zippostalcode"],
  country: ["country", "addresscountry", "countrycode", "countryname"],
  latitude: ["latitude", "lat"],
  longitude: ["longitude", "lng", "lon", "long"],
  description: ["description", "summary", "about", "bio", "excerpt"],
  membership_tier: [
    "membershiptier",
    "tier",
    "membershiplevel",
    "memberlevel",
    "membershiptype",
    "membertype",
    "level",
  ],
  member_since: ["membersince", "joined", "joindate", "since", "membersinceyear"],
  member_id: ["memberid", "accountid", "companyid", "organizationid"],
  profile_url: ["profileurl", "detailurl", "detailsurl", "permalink", "profile", "href", "path"],
  full_address: ["fulladdress", "formattedaddress", "addressfull", "location", "displayaddress"],
};
const FIELD_OF = new Map<string, { field: string; rank: number }>();
for (const [field, keys] of Object.entries(KEYS)) keys.forEach((key, rank) => FIELD_OF.set(key, { field, rank }));

const WRAPPED = new Set(["rendered", "value", "text", "_", "name"]);
const PREFIX =
  /^(company|member|business|organization|organisation|org|account|primary|main|billing|contact|work|mailing|physical|address|addr|location|store|firm|office)(?=.)/;
const PERSON = /(^|\.)(contacts?|person|people|owner|author|user|representative|rep|staff|employees?|founder)(\.|$)/i;
const NO_COMPANY_TYPE =
  /^(breadcrumb\w*|listitem|webpage|website|postaladdress|geocoordinates|imageobject|contactpoint|person|article|newsarticle|blogposting|event|searchaction|collectionpage|offer|product|review|rating|sitenavigationelement|readaction|wpheader|wpfooter)$/i;
const MAX_DEPTH = 12;
const MAX_OBJECTS = 50_000;

/** All groups of records that a page carries, best first. */
export function dataGroups(page: Page): DataGroup[] {
  const objects = new Map<string, DataRecord[]>();
  let left = MAX_OBJECTS;
  const visit = (value: unknown, path: string, depth: number): void => {
    if (value === null || typeof value !== "object" || depth > MAX_DEPTH || left <= 0) return;
    if (Array.isArray(value)) {
      const rows = recordsOfRows(value, page);
      if (rows.length > 0) objects.set(`${path}.*`, [...(objects.get(`${path}.*`) ?? []), ...rows.map(unfoldAddress)]);
      for (const entry of value) visit(entry, `${path}.*`, depth + 1);
      return;
    }
    left--;
    const record = toRecord(value as Record<string, unknown>);
    if (record !== null && !isSite(record, page)) objects.set(path, push(objects.get(path), record));
    for (const [key, child] of Object.entries(value))
      visit(child, `${path}.${/^\d+$/.test(key) ? "*" : key}`, depth + 1);
  };
  const sites = new Set<string>();
  for (const [source, root] of roots(page)) {
    for (const name of siteNames(root)) sites.add(name.toLowerCase());
    visit(root, source, 0);
  }
  for (const [path, records] of objects)
    objects.set(
      path,
      records.filter(({ company_name }) => !sites.has(company_name!.toLowerCase())),
    );
  return [...objects]
    .map(([path, records]) => ({ path, records: distinctRecords(records) }))
    .filter(({ records }) => worth(records) > 0)
    .sort((a, b) => worth(b.records) - worth(a.records) || (a.path < b.path ? -1 : 1));
}

/** What the site itself is called, where the data says so. */
function siteNames(root: unknown): string[] {
  const graph = (root as { "@graph"?: unknown } | null)?.["@graph"];
  return [root, ...(Array.isArray(graph) ? graph : [])]
    .filter((one: any) => /^(website|webpage)$/i.test(String(one?.["@type"] ?? "")))
    .flatMap(({ name, publisher }: any) => [name, publisher?.name])
    .filter((name) => typeof name === "string");
}

/** The association describes itself among its members. */
function isSite({ website, profile_url }: DataRecord, page: Page): boolean {
  const url = resolveUrl(website ?? profile_url, page.base);
  return url !== null && sameSite(url, page.url) && new URL(url).pathname === "/";
}

function push(list: DataRecord[] | undefined, record: DataRecord): DataRecord[] {
  if (list === undefined) return [record];
  list.push(record);
  return list;
}

/** Records times fields; a group whose objects have only a name is a menu or a list of tags. */
function worth(records: readonly DataRecord[]): number {
  const telling = ["phone", "email", "website", "street", "city", "state", "postal_code", "profile_url"];
  const fields = records.map((record) => telling.filter((field) => record[field] !== undefined).length);
  const useful = fields.filter((count) => count >= 1).length;
  const rich = fields.reduce((sum, count) => sum + count, 0);
  return useful * 2 < records.length ? 0 : records.length ** 0.8 * (rich / records.length);
}

function distinctRecords(records: readonly DataRecord[]): DataRecord[] {
  const seen = new Set<string>();
  return records.filter((record) => {
    const key = JSON.stringify(record);
    return !seen.has(key) && seen.add(key);
  });
}

function* roots(page: Page): Generator<[string, unknown]> {
  if (page.json !== undefined) yield ["json", page.json];
  for (const node of page.$("script[type='application/ld+json']").toArray()) yield* parsed("ld", page.$(node).text());
  for (const script of page.scripts) for (const value of readLiterals(script)) yield ["script", value];
  for (const value of readFlight(page.scripts)) yield ["flight", value];
  for (const node of page.$("*").toArray() as any[]) {
    for (const [name, value] of Object.entries<string>(node.attribs ?? {}))
      if (name.includes("-") || name === "x-data") {
        if (value.length > 60 && /^\s*[[{]/.test(value)) yield* parsed("attribute", value);
      }
  }
}

function* parsed(source: string, text: string): Generator<[string, unknown]> {
  try {
    yield [source, JSON.parse(text)];
  } catch {
    for (const value of readLiterals(text)) yield [source, value];
  }
}

/** The fields of one object; null where it has no name, or says that it is something else than a company. */
function toRecord(object: Record<string, unknown>): DataRecord | null {
  const types = [object["@type"], object.type].flat().filter((type) => typeof type === "string") as string[];
  if (types.some((type) => NO_COMPANY_TYPE.test(type))) return null;
  const best = new Map<string, { value: string; rank: number }>();
  for (const { path, value } of scalars(object)) {
    const found = fieldOf(path);
    if (found === undefined || (PERSON.test(path) && found.field !== "phone" && found.field !== "email")) continue;
    const rank = found.rank + (path.split(".").length - 1) * 20;
    if (rank < (best.get(found.field)?.rank ?? Number.POSITIVE_INFINITY)) best.set(found.field, { value, rank });
  }
  const record = Object.fromEntries([...best].map(([field, { value }]) => [field, value])) as DataRecord;
  if (record.company_name === undefined || !/\p{L}/u.test(record.company_name) || record.company_name.length > 150)
    return null;
  coordinates(object, record);
  return unfoldAddress(record);
}

interface Scalar {
  path: string;
  value: string;
}

function scalars(object: Record<string, unknown>): Scalar[] {
  const found: Scalar[] = [];
  const visit = (value: unknown, path: string, depth: number): void => {
    if (typeof value === "string" || typeof value === "number") {
      const text = plain(String(value));
      if (text !== "") found.push({ path, value: text });
    } else if (Array.isArray(value)) {
      // Of several values the first counts; lists of objects are records of their own.
      if (typeof value[0] !== "object") visit(value[0], path, depth + 1);
      else if (/address|location/i.test(path) && value.length === 1) visit(value[0], path, depth + 1);
    } else if (value !== null && typeof value === "object" && depth < 3) {
      for (const [key, child] of Object.entries(value))
        if (!key.startsWith("@")) visit(child, path === "" ? key : `${path}.${key}`, depth + 1);
    }
  };
  visit(object, "", 0);
  return found;
}

function plain(text: string): string {
  const bare = text.includes("<") ? text.replace(/<br\s*\/?>/gi, ", ").replace(/<[^>]+>/g, " ") : text;
  return cleanText(
    bare
      .replace(/&#(\d{2,6});/g, (_, code: string) => String.fromCodePoint(Math.min(Number(code), 0x10ffff)))
      .replace(/&amp;/g, "&")
      .replace(/&#0?39;|&rsquo;|&#8217;/g, "'")
      .replace(/&quot;/g, '"')
      .replace(/&nbsp;/g, " "),
  );
}

function fieldOf(path: string): { field: string; rank: number } | undefined {
  const parts = path.split(".");
  const last = parts.at(-1)!;
  const key = normal(parts.length > 1 && WRAPPED.has(last) ? parts.at(-2)! : last);
  const short = key.replace(PREFIX, "");
  const direct = FIELD_OF.get(key);
  if (direct !== undefined) return direct;
  const found = FIELD_OF.get(short);
  // "contact_name" is a person, "company_title" is none of ours.
  if (
    found === undefined ||
    (found.field === "company_name" && !/^(company|business|organi[sz]ation|org|member|account)/.test(key))
  )
    return undefined;
  return { field: found.field, rank: found.rank + 0.5 };
}

function normal(key: string): string {
  return key.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** GeoJSON keeps longitude and latitude in this order. */
function coordinates(object: Record<string, unknown>, record: DataRecord): void {
  const point = (object.geometry as { coordinates?: unknown } | undefined)?.coordinates;
  if (!Array.isArray(point) || typeof point[0] !== "number" || record.latitude !== undefined) return;
  record.longitude = String(point[0]);
  record.latitude = String(point[1]);
}

function unfoldAddress(record: DataRecord): DataRecord {
  const { full_address, ...rest } = record;
  const whole = full_address ?? (rest.city === undefined && rest.street?.includes(",") ? rest.street : undefined);
  const address = whole === undefined || rest.city !== undefined ? null : parseAddress([whole]);
  if (address === null) return rest;
  if (whole === rest.street) delete rest.street;
  for (const [field, value] of Object.entries(address)) if (value !== null) rest[field] ??= value;
  return rest;
}
