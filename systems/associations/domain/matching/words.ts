/**
 * Words of company names and addresses in one comparable form.
 *
 * 1. Nothing here depends on the data at hand: only on how names and addresses are written in general.
 * 2. A form is for comparing and finding, never for showing or storing.
 */

import { editDistance } from "./edit-distance.ts";

/** Endings that say how a company is incorporated, not which company it is. */
const LEGAL_FORMS =
  words(`inc incorporated incorporation corp corporation llc llp lllp lp ltd limited ltda co company cos companies plc
pllc pc gmbh mbh ag kg kgaa ohg ug se sa sas sarl srl spa snc bv nv cv vof aps as asa ab oy oyj kk pty pte pvt sdn bhd ulc lc eurl sl slu
saic cia zoo kft doo eg ev gbr chartered`);

const SPELLINGS = new Map(
  Object.entries({
    manufacturing: "mfg mfr mfgr manuf manufacturer manufacturers mfrs mnfg manufactur manufacture",
    international: "intl int'l internatl",
    national: "natl nat'l",
    association: "assn assoc associations",
    associates: "assocs assoc.",
    brothers: "bros bro",
    engineering: "engr engrg engineers engineer eng",
    technology: "tech techs technologies technol",
    industry: "ind inds indust industries industrial",
    service: "svc svcs serv services",
    system: "sys syst systems",
    product: "prod prods products prdts",
    machine: "mach machinery machines machining",
    electric: "elec elect electrical electrics",
    equipment: "equip eqpt equipt",
    laboratory: "lab labs laboratories",
    center: "ctr cntr centre centers cntre",
    group: "grp groups gruppe groupe",
    holding: "hldg hldgs holdings",
    company: "cie compagnie",
    // "St." is a saint or a street; in names both go by one form.
    st: "saint street ste sainte",
    fort: "ft",
    mount: "mt mountain mtn mountains",
    avenue: "ave",
    road: "rd",
    boulevard: "blvd",
    brewery: "brewing breweries brewers",
    roastery: "roasting roasters roaster",
    distillery: "distilling distilleries distillers",
    restaurant: "restaurants rest ristorante restaurante",
    consulting: "consultants consultant",
    logistic: "logistics",
    delicatessen: "deli delis",
    fabrication: "fab fabs fabricating fabricators fabricator",
    distribution: "dist distr distrib distributing distributors distributor",
    communication: "comm comms communications",
    construction: "const constr",
    development: "dev devel dvlp",
    management: "mgmt mgt",
    solution: "soln solns solutions",
    supply: "supl supplies suppliers",
    american: "amer",
    university: "univ",
    department: "dept",
    government: "govt",
    hospital: "hosp",
    material: "matl matls materials",
    chemical: "chem chems chemicals",
    plastic: "plas plastics",
    and: "und et",
  }).flatMap(([whole, short]) => [...words(short)].map((word) => [word, whole] as const)),
);

const STREET_WORDS = new Map(
  Object.entries({
    street: "st str strt",
    avenue: "ave av aven",
    boulevard: "blvd blv boul bvd",
    road: "rd",
    drive: "dr drv",
    lane: "ln la",
    court: "ct crt",
    place: "pl",
    square: "sq",
    parkway: "pkwy pky pkway parkwy",
    highway: "hwy hiway hway",
    freeway: "fwy",
    expressway: "expy expwy",
    turnpike: "tpke tpk",
    terrace: "ter terr",
    circle: "cir circ",
    trail: "trl",
    plaza: "plz plza",
    route: "rte rt",
    heights: "hts",
    center: "ctr centre",
    mount: "mt",
    fort: "ft",
    saint: "ste",
    north: "n no",
    south: "s so",
    east: "e",
    west: "w",
    northeast: "ne",
    northwest: "nw",
    southeast: "se",
    southwest: "sw",
  }).flatMap(([whole, short]) => [...words(short)].map((word) => [word, whole] as const)),
);

/** Kinds of street and points of the compass: weak evidence, often left out. */
export const WEAK_STREET_WORDS: ReadonlySet<string> =
  words(`street avenue boulevard road drive lane court place square parkway highway
freeway expressway turnpike terrace circle trail plaza route way north south east west northeast northwest southeast southwest the of
and at between near off corner`);

const ORDINALS = new Map(
  "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    .split(" ")
    .map((word, index) => [word, String(index + 1)] as const),
);

/** Words that many companies carry: their share of all names, before any data has been seen. */
const GENERAL_WORDS =
  words(`manufacturing industry product system technology service group international national american company
enterprise tool machine metal steel engineering electric equipment material supply solution global holding association general united
precision design center plastic chemical power energy st avenue road control industrial company fabrication distribution management construction
development communication laboratory partner first new north south east west central city state county valley lake river mountain
restaurant cafe bar grill house kitchen brewing brewery beer pub taproom hotel inn shop store market bakery pizza club company farm
works studio foundation institute society council school college university hospital clinic medical health dental law office bank
insurance realty property auto car truck transport logistics consulting consultant marketing media digital software data network
security usa us america the of and for at in on by de la le el los las du des den der die das van von a an n s co bros brothers son sons`);

/** Removed wherever they stand. */
const EMPTY_WORDS = words("the and of a an");

export interface NameForm {
  /** Words in order, without legal form and empty words. */
  tokens: string[];
  /** All of them in one: spaces do not count in it. */
  joined: string;
  /** As written, without spaces and legal form: where a slip of the pen is a slip of one letter. */
  letters: string;
}

/** The words of a company name that tell it from others. */
export function nameForm(name: string): NameForm {
  const raw = joinInitials(plainWords(name)).map((word) => ORDINALS.get(word) ?? ordinalDigits(word));
  const kept = withoutLegalForms(raw).filter((word) => !EMPTY_WORDS.has(SPELLINGS.get(word) ?? word));
  // "The Company, Inc." has nothing else to go by.
  const words = kept.length === 0 ? raw : kept;
  const tokens = words.map((word) => stem(SPELLINGS.get(word) ?? word));
  return { tokens, joined: tokens.join(""), letters: words.join("") };
}

export interface StreetForm {
  /** House number, or box number; empty if there is none. */
  number: string;
  tokens: string[];
}

/** Number and words of a street address; floors, suites and descriptions behind a comma are left out. */
export function streetForm(street: string): StreetForm {
  const line = street.split(/[,;\n]|\s(?:at|between|near|off|corner of|btwn)\s/i)[0] ?? "";
  const bare = line.replace(
    /(?:\b(?:suite|ste|unit|apt|apartment|floor|fl|room|rm|bldg|building|dept)\b\.?|#)\s*[\w-]+\s*$/i,
    "",
  );
  const raw = plainWords(bare);
  // "Main Street 12" and "12 Main Street"; "5th Avenue" has no number, nor has "Highway 61".
  const isNumberAt = (word: string, index: number) =>
    /^\d/.test(word) && !/^\d+(?:st|nd|rd|th)$/.test(word) && raw.length > 1 && !NUMBERED.has(raw[index - 1] ?? "");
  const at = raw.findIndex(isNumberAt);
  const isNumber = at >= 0;
  const all = raw.map((word) => ORDINALS.get(word) ?? ordinalDigits(word));
  const number = isNumber ? (all[at] as string) : "";
  const tokens = all.filter((_, index) => !isNumber || index !== at).map((word) => STREET_WORDS.get(word) ?? word);
  return { number: number.replace(/^0+(?=\d)/, ""), tokens };
}

const NUMBERED = words("highway hwy route rte rt road rd interstate i county cr sr us fm suite unit ste");

/** A city without points of the compass, "city of" and the like. */
export function cityForm(city: string): string {
  const all = plainWords(city).map((word) => CITY_WORDS.get(word) ?? word);
  const kept = all.filter((word) => !CITY_EXTRAS.has(word));
  return (kept.length === 0 ? all : kept).join(" ");
}

const CITY_WORDS = new Map(
  Object.entries({ st: "saint", ste: "saint", ft: "fort", mt: "mount", hts: "heights", spgs: "springs", pk: "park" }),
);
const CITY_EXTRAS = words("city of town township village borough metro greater n s e w north south east west the");

/** Lower-case words of letters and digits, accents folded, possessives joined to their word. */
export function plainWords(text: string): string[] {
  return text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/ß/g, "ss")
    .replace(/[øœæđł]/g, (letter) => ({ ø: "o", œ: "oe", æ: "ae", đ: "d", ł: "l" })[letter] as string)
    .replace(/&amp;|&|\+/g, " and ")
    .replace(/\s*\\?\s*['’`´]\s*s\b/g, "s")
    .replace(/(?<=\p{L})['’`´.](?=\p{L})/gu, "")
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");
}

/** How common a word is before any data: pseudo-occurrences among `PRIOR_NAMES` names. */
export function priorOccurrences(token: string): number {
  if (GENERAL.has(token)) return 60;
  return token.length <= 2 ? 10 : 0;
}

/** Names that the prior stands for. */
export const PRIOR_NAMES = 4_000;

/** Without what says how it is incorporated: at the end any form, elsewhere those that are no other word. */
function withoutLegalForms(raw: readonly string[]): string[] {
  let end = raw.length;
  while (end > 1 && (isLegalForm(raw[end - 1]!) || EMPTY_WORDS.has(raw[end - 1]!))) end--;
  return raw.slice(0, end).filter((word, index) => index === 0 || !CLEAR_FORMS.has(word));
}

/** Long forms are recognised when misspelt as well. */
function isLegalForm(word: string): boolean {
  if (LEGAL_FORMS.has(word)) return true;
  return word.length >= 6 && LONG_FORMS.some((form) => editDistance(word, form, 1) === 1);
}

const LONG_FORMS = ["company", "corporation", "incorporated", "limited"];
const CLEAR_FORMS = words("inc incorporated corp corporation llc llp ltd limited gmbh plc pllc co company");

/** "A. B. C. Tools" is ABC Tools. */
function joinInitials(all: readonly string[]): string[] {
  const joined: string[] = [];
  let run = "";
  for (const word of all) {
    if (/^\p{L}$/u.test(word)) {
      run += word;
      continue;
    }
    if (run !== "") joined.push(run);
    run = "";
    joined.push(word);
  }
  if (run !== "") joined.push(run);
  return joined;
}

function ordinalDigits(word: string): string {
  return /^\d+(?:st|nd|rd|th)$/.test(word) ? word.replace(/\D+/, "") : word;
}

/** One form for singular and plural. */
function stem(word: string): string {
  if (word.length <= 3 || !/s$/.test(word) || /(?:ss|us|is)$/.test(word)) return word;
  return word.length > 4 && word.endsWith("ies") ? `${word.slice(0, -3)}y` : word.slice(0, -1);
}

const GENERAL = new Set([...GENERAL_WORDS].map(stem));

function words(text: string): Set<string> {
  return new Set(text.split(/\s+/).filter((word) => word !== ""));
}
