/**
 * Records as compact rows of numbers: what is compared of them, a hundred bytes or so for each, for millions at once.
 *
 * 1. Words, domains, cities … are numbered once; rows hold the numbers. Names are read back from `words` only where spelling matters.
 * 2. 0 means "not known" in every column; it never agrees or disagrees with anything.
 * 3. A profile depends on its record alone; what depends on all records (rarity, sharing) is computed by `seal`.
 */
import { parseAddress } from "../address.ts";
import { stateCode } from "../places.ts";
import { emailDomain, phoneKey, websiteDomain } from "./contact-keys.ts";
import { cityForm, nameForm, PRIOR_NAMES, priorOccurrences, streetForm } from "./words.ts";

export type RecordLike = { readonly [field: string]: unknown };

/**
 * Names under which the compared fields are found, also in records of other make; the first that is filled counts. Capitals and signs
 * between words do not matter: `streetAddress` is `street_address`.
 */
export const FIELD_NAMES = {
  name: [
    "company_name",
    "name",
    "company",
    "organization",
    "organization_name",
    "business_name",
    "legal_name",
    "title",
  ],
  website: ["domain", "website", "url", "website_url", "web", "homepage"],
  email: ["email", "email_address", "mail"],
  phone: ["phone", "telephone", "phone_number", "tel", "phone_e164"],
  street: ["street", "address", "addr", "street_address", "address_1", "address_line_1", "full_address"],
  city: ["city", "town", "locality"],
  state: ["state", "state_province", "province", "region", "state_code"],
  postal: ["postal_code", "zip", "zip_code", "postcode"],
} as const;

const FIELD_KINDS = Object.keys(FIELD_NAMES) as (keyof typeof FIELD_NAMES)[];

/** A list of numbers that grows; read it through `view`. */
class Column<A extends Float64Array | Int32Array | Float32Array> {
  private cells: A;
  length = 0;
  private readonly make: new (
    length: number,
  ) => A;
  constructor(make: new (length: number) => A) {
    this.make = make;
    this.cells = new make(1024);
  }
  push(value: number): void {
    if (this.length === this.cells.length) {
      const grown = new this.make(this.length * 2);
      grown.set(this.cells as never);
      this.cells = grown;
    }
    this.cells[this.length++] = value;
  }
  view(): A {
    return this.cells.subarray(0, this.length) as A;
  }
}

/** Numbers for texts, from 1 on. */
class Dictionary {
  private readonly ids = new Map<string, number>();
  idOf(text: string): number {
    if (text === "") return 0;
    const known = this.ids.get(text);
    if (known !== undefined) return known;
    // A flat copy: a slice would keep the whole record's text in memory.
    this.ids.set(Buffer.from(text).toString(), this.ids.size + 1);
    return this.ids.size;
  }
  known(text: string): number {
    return this.ids.get(text) ?? 0;
  }
  texts(): string[] {
    return ["", ...this.ids.keys()];
  }
}

/** Collects records; `seal` gives the profiles. */
export class ProfileBuilder {
  private readonly words = new Dictionary();
  private readonly domains = new Dictionary();
  private readonly cities = new Dictionary();
  private readonly states = new Dictionary();
  private readonly postals = new Dictionary();
  private readonly postalAreas = new Dictionary();
  private readonly nameStart = new Column(Int32Array);
  private readonly nameWords = new Column(Int32Array);
  private readonly nameAlso = new Column(Int32Array);
  private readonly nameOrder = new Column(Float64Array);
  private readonly nameKey = new Column(Int32Array);
  private readonly joinedNames = new Dictionary();
  private readonly spellings = new Dictionary();
  private readonly spelling = new Column(Int32Array);
  private readonly phone = new Column(Float64Array);
  private readonly domain = new Column(Int32Array);
  private readonly city = new Column(Int32Array);
  private readonly state = new Column(Int32Array);
  private readonly postal = new Column(Int32Array);
  private readonly postalArea = new Column(Int32Array);
  private readonly houseNumber = new Column(Int32Array);
  private readonly streetStart = new Column(Int32Array);
  private readonly streetWords = new Column(Int32Array);

  add(record: RecordLike): void {
    const text = readFields(record);
    const name = nameForm(text.name);
    this.nameStart.push(this.nameWords.length);
    this.nameAlso.push(this.nameWords.length + Math.min(name.alsoAt, MAX_NAME_WORDS));
    for (const word of name.tokens.slice(0, MAX_NAME_WORDS)) this.nameWords.push(this.words.idOf(word));
    this.nameOrder.push(orderOf(name.joined));
    this.nameKey.push(this.joinedNames.idOf(name.joined));
    this.spelling.push(this.spellings.idOf(name.letters));
    this.phone.push(phoneKey(text.phone));
    this.domain.push(this.domains.idOf(websiteDomain(text.website) ?? emailDomain(text.email) ?? ""));
    this.city.push(this.cities.idOf(cityForm(text.city)));
    this.state.push(this.states.idOf(stateCode(text.state) ?? text.state.trim().toLowerCase()));
    const postal = postalForm(text.postal);
    this.postal.push(this.postals.idOf(postal));
    this.postalArea.push(this.postalAreas.idOf(postal.slice(0, 3)));
    const street = streetForm(text.street);
    this.houseNumber.push(this.words.idOf(street.number));
    this.streetStart.push(this.streetWords.length);
    for (const word of street.tokens.slice(0, MAX_STREET_WORDS)) this.streetWords.push(this.words.idOf(word));
  }

  seal(): Profiles {
    const count = this.phone.length;
    this.nameStart.push(this.nameWords.length);
    this.streetStart.push(this.streetWords.length);
    const words = this.words.texts();
    const nameStart = this.nameStart.view();
    const nameWords = this.nameWords.view();
    const nameKey = this.nameKey.view();
    return {
      count,
      words,
      ...raritiesOf({ words, nameStart, nameWords, count }),
      nameStart,
      nameAlso: this.nameAlso.view(),
      nameWords,
      nameOrder: this.nameOrder.view(),
      nameKey,
      spelling: this.spelling.view(),
      spellings: this.spellings.texts(),
      phone: this.phone.view(),
      domain: this.domain.view(),
      city: this.city.view(),
      cities: this.cities.texts(),
      cityWords: this.cities.texts().map((city) => nameForm(city).tokens.map((word) => this.words.known(word))),
      state: this.state.view(),
      postal: this.postal.view(),
      postalArea: this.postalArea.view(),
      houseNumber: this.houseNumber.view(),
      streetStart: this.streetStart.view(),
      streetWords: this.streetWords.view(),
      phoneSharers: sharersOf(this.phone.view(), nameKey),
      domainSharers: sharersOf(this.domain.view(), nameKey),
      domainCities: sharersOf(this.domain.view(), this.city.view()),
    };
  }
}

export interface Profiles {
  readonly count: number;
  /** Words of names and streets by number. */
  readonly words: readonly string[];
  /** How much a word tells, by its number: grows with the logarithm of how rare it is among names. */
  readonly rarity: Float32Array;
  /** Names that a word is in, by its number. */
  readonly occurrences: Int32Array;
  /** Words of record i: `nameWords` from `nameStart[i]` to `nameStart[i + 1]`. */
  readonly nameStart: Int32Array;
  readonly nameWords: Int32Array;
  /** Where in `nameWords` another name of record i begins ("doing business as"); `nameStart[i + 1]` if it has none. */
  readonly nameAlso: Int32Array;
  /** Sorts like the name without spaces. */
  readonly nameOrder: Float64Array;
  /** Equal for equal names. */
  readonly nameKey: Int32Array;
  /** The letters of the name as written. */
  readonly spelling: Int32Array;
  readonly spellings: readonly string[];
  readonly phone: Float64Array;
  readonly domain: Int32Array;
  readonly city: Int32Array;
  readonly cities: readonly string[];
  /** Words of each city, as far as they occur elsewhere. */
  readonly cityWords: readonly (readonly number[])[];
  readonly state: Int32Array;
  readonly postal: Int32Array;
  /** The first three signs of it: a region, or part of a city. */
  readonly postalArea: Int32Array;
  readonly houseNumber: Int32Array;
  readonly streetStart: Int32Array;
  readonly streetWords: Int32Array;
  /** How many differently named records have this record's phone or domain; at most 65,535. */
  readonly phoneSharers: Uint16Array;
  readonly domainSharers: Uint16Array;
  /** In how many cities the records with its domain are: more than one for chains. */
  readonly domainCities: Uint16Array;
}

const MAX_NAME_WORDS = 24;
const MAX_STREET_WORDS = 12;

/** The profiles of a list. */
export function profilesOf(records: Iterable<RecordLike>): Profiles {
  const builder = new ProfileBuilder();
  for (const record of records) builder.add(record);
  return builder.seal();
}

type Texts = Record<keyof typeof FIELD_NAMES, string>;

function readFields(record: RecordLike): Texts {
  const text: Texts = { name: "", website: "", email: "", phone: "", street: "", city: "", state: "", postal: "" };
  const ranks: Partial<Record<keyof Texts, number>> = {};
  for (const key in record) {
    const place = placeOf(key);
    if (place === null || (ranks[place.kind] ?? Number.POSITIVE_INFINITY) <= place.rank) continue;
    const value = textOf(record[key]);
    if (value === "") continue;
    text[place.kind] = value;
    ranks[place.kind] = place.rank;
  }
  if (text.city === "" && text.street.includes(",")) {
    const parts = parseAddress([text.street]);
    if (parts?.city) {
      text.city = parts.city;
      text.state ||= parts.state ?? "";
      text.postal ||= parts.postal_code ?? "";
    }
  }
  return text;
}

interface FieldPlace {
  kind: keyof Texts;
  /** 0 for the name that is preferred. */
  rank: number;
}

const plainKey = (key: string) => key.toLowerCase().replace(/[^a-z\d]/g, "");
const places = new Map<string, FieldPlace>(
  FIELD_KINDS.flatMap((kind) => FIELD_NAMES[kind].map((name, rank) => [plainKey(name), { kind, rank }] as const)),
);
/** By key as written; records of one make have the same keys over and over. */
const seenKeys = new Map<string, FieldPlace | null>();
const MAX_SEEN_KEYS = 10_000;

function placeOf(key: string): FieldPlace | null {
  const seen = seenKeys.get(key);
  if (seen !== undefined) return seen;
  const place = places.get(plainKey(key)) ?? null;
  if (seenKeys.size < MAX_SEEN_KEYS) seenKeys.set(key, place);
  return place;
}

/** Longer values are no names or addresses; what is cut off would only cost time. */
const MAX_CHARACTERS = 400;

function textOf(value: unknown): string {
  if (typeof value === "string") return value.slice(0, MAX_CHARACTERS).trim();
  return typeof value === "number" && Number.isFinite(value) ? String(value) : "";
}

/** "12345-6789" is 12345; others without spaces. */
function postalForm(postal: string): string {
  const plain = postal.toUpperCase().replace(/[^A-Z\d]/g, "");
  return /^\d{9}$/.test(plain) ? plain.slice(0, 5) : plain;
}

/** The first ten letters or digits as one number that sorts as they do. */
function orderOf(joined: string): number {
  let order = 0;
  for (let at = 0; at < 10; at++) {
    const code = at < joined.length ? joined.charCodeAt(at) : 0;
    const place = code === 0 ? 0 : code < 58 ? 1 : code >= 97 && code <= 122 ? code - 95 : 29;
    order = order * 30 + place;
  }
  return order;
}

/** Above 1: one rare word outweighs several common ones, as the square of tf-idf does (2) and a plain sum does not (1). */
const SHARPNESS = 1.5;

interface NamesOfAll {
  words: readonly string[];
  nameStart: Int32Array;
  nameWords: Int32Array;
  count: number;
}

function raritiesOf({ words, nameStart, nameWords, count }: NamesOfAll): Pick<Profiles, "rarity" | "occurrences"> {
  const occurrences = new Int32Array(words.length);
  for (let record = 0; record < count; record++) {
    const [start, end] = [nameStart[record]!, nameStart[record + 1]!];
    for (let at = start; at < end; at++) {
      if (nameWords.indexOf(nameWords[at]!, start) === at) occurrences[nameWords[at]!]!++;
    }
  }
  const rarity = new Float32Array(words.length);
  for (let word = 1; word < words.length; word++) {
    const seen = occurrences[word]! + priorOccurrences(words[word]!);
    rarity[word] = (Math.log((count + PRIOR_NAMES) / (seen + 1)) + 0.1) ** SHARPNESS;
  }
  return { rarity, occurrences };
}

/** Number of different names (or cities) among the records with the same value. */
function sharersOf(values: Float64Array | Int32Array, nameKey: Int32Array): Uint16Array {
  const shared = new Uint16Array(values.length);
  const order = new Uint32Array(values.length).map((_, index) => index);
  const known = order.filter((index) => values[index] !== 0);
  known.sort((a, b) => values[a]! - values[b]! || nameKey[a]! - nameKey[b]!);
  for (let start = 0; start < known.length; ) {
    let end = start;
    let names = 0;
    const value = values[known[start]!]!;
    for (; end < known.length && values[known[end]!] === value; end++) {
      if (end === start || nameKey[known[end]!] !== nameKey[known[end - 1]!]) names++;
    }
    for (let at = start; at < end; at++) shared[known[at]!] = Math.min(names, 65_535);
    start = end;
  }
  return shared;
}
