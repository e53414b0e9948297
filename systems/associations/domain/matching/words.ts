/**
 * Words of company names and addresses in one comparable form.
 *
 * 1. Nothing here depends on the data at hand: only on how names and addresses are written in general.
 * 2. A form is for comparing and finding, never for showing or storing.
 */

import { editDistance } from "./edit-distance.ts";
import { namesIn, withoutEasternForms, withoutLegalForms } from "./legal-forms.ts";
import { oneVowel, plainWords } from "./plain-words.ts";

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
    american: "amer america",
    us: "usa",
    division: "div divn",
    auto: "automotive automobile",
    tool: "tooling toolings",
    mold: "mould molding moulding molds moulds moldings mouldings",
    aluminum: "aluminium alum",
    color: "colour colors colours",
    fiber: "fibre fibers fibres",
    theater: "theatre",
    jewelry: "jewellery jewelers jewellers",
    university: "univ",
    department: "dept",
    government: "govt",
    hospital: "hosp",
    material: "matl matls materials",
    chemical: "chem chems chemicals",
    plastic: "plas plastics",
    and: "und et og och ve en",
    son: "sons sohn sohne soehne fils zonen figli hijos",
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

/** Words that companies add to their name or leave out: no sign of another company. */
const ADDED_WORDS = words(
  "group holding international global worldwide usa us america american company enterprise division",
);
const LITTLE_WORDS = words(`national industry industrial manufacturing
work product service system solution technology partner associates general corporation business office headquarters location main store shop`);

/** Ordinary words in names that differ from another one by a letter or two: Miller Foods is not Miller Woods. */
const ORDINARY_WORDS =
  words(`food wood power tower glass gas gear gauge packing packaging star sun mold gold cold paper pipe tube wire wine fire hire spring string
forge foundry casting coating plating painting printing plastering planting stamping welding wedding building holding moulding machining heating
heat meat seat treating cooling cooking air hair water light sight sound stone store brick block black sand soil oil fuel tire tile title marine
marina mill mine line fine vine lime rental dental mental metal medal petal pedal paint plant print crane drain train grain brain brake lake bake
cake care core pack rack track truck trust dairy daily dry fly floor flour flower boat coat goat coast roast toast belt bolt bell ball wall hall
fall well sell fish dish wash cash card yard guard board road load lead leaf roof root boot book cook look lock rock clock stock sign design
band land hand brand grand bath path health wealth leather weather feather cement garden warden border order cable table stable label
level lever river silver tailor trailer trader grader saddle paddle cotton button button pool tool school spool poultry pottery battery
bakery grocery nursery surgery jewelry laundry`);

/** Words of one line say opposite things. */
const OPPOSITES = [
  words("north south east west northeast northwest southeast southwest northern southern eastern western"),
  words("upper lower middle"),
  words("new old"),
  words("inner outer inside outside indoor outdoor"),
  words("men women mens womens man woman boy girl boys girls"),
  words("junior senior jr sr"),
];

/** Removed wherever they stand. */
const EMPTY_WORDS = words("the and of a an");

export interface NameForm {
  /** Words in order, without legal form and empty words; those of another name of the same company behind its own. */
  tokens: string[];
  /** Where that other name begins; the number of words if there is none. */
  alsoAt: number;
  /** All of them in one: spaces do not count in it. */
  joined: string;
  /** As written, without spaces and legal form: where a slip of the pen is a slip of one letter. */
  letters: string;
}

/** The words of a company name that tell it from others. */
export function nameForm(name: string): NameForm {
  const raw = joinInitials(plainWords(withoutEasternForms(name.replace(WEB_ENDING, " ")))).map(asFigure);
  const { main, also } = namesIn(raw);
  const words = wordsOf(main);
  const all = also.length === 0 ? words : [...words, ...wordsOf(also)];
  const tokens = all.map(tokenOf);
  return { tokens, alsoAt: words.length, joined: tokens.join(""), letters: all.join("") };
}

/** "Zorbel.com" is Zorbel. */
const WEB_ENDING = /(?<=[\p{L}\d])\.(?:com|net|org|biz|io)(?![\p{L}\d])/giu;

function wordsOf(raw: readonly string[]): readonly string[] {
  const kept = withoutLegalForms(raw, (word) => EMPTY_WORDS.has(word)).filter(
    (word) => !EMPTY_WORDS.has(SPELLINGS.get(word) ?? word),
  );
  // "The Company, Inc." has nothing else to go by.
  return unitedStates(kept.length === 0 ? raw : kept);
}

function unitedStates(words: readonly string[]): readonly string[] {
  const at = words.indexOf("united");
  return at >= 0 && words[at + 1] === "states" ? [...words.slice(0, at), "us", ...words.slice(at + 2)] : words;
}

function tokenOf(word: string): string {
  return oneVowel(stem(SPELLINGS.get(word) ?? misspelt(word) ?? word));
}

const LONG_ENOUGH = 6;
/** The long words of `SPELLINGS`, each under itself and without any one of its letters. */
const NEAR_SPELLINGS = new Map(
  [...SPELLINGS].flatMap(([word, whole]) =>
    word.length < LONG_ENOUGH ? [] : [word, ...withoutOneLetter(word)].map((key) => [key, { word, whole }] as const),
  ),
);

/** "Brewng" is brewing, and so a brewery: the form that is compared would be too far from it. */
function misspelt(word: string): string | undefined {
  if (word.length < LONG_ENOUGH) return undefined;
  for (const key of [word, ...withoutOneLetter(word)]) {
    const near = NEAR_SPELLINGS.get(key);
    if (near !== undefined && editDistance(word, near.word, 1) === 1) return near.whole;
  }
  return undefined;
}

function withoutOneLetter(word: string): string[] {
  return Array.from(word, (_, at) => word.slice(0, at) + word.slice(at + 1));
}

/** "First", "two" and, behind another word, "III" as figures. */
function asFigure(word: string, index: number): string {
  return (
    ORDINALS.get(word) ?? NUMBER_WORDS.get(word) ?? (index > 0 ? ROMAN.get(word) : undefined) ?? ordinalDigits(word)
  );
}

const NUMBER_WORDS = new Map(
  "two three four five six seven eight nine ten eleven twelve"
    .split(" ")
    .map((word, index) => [word, `${index + 2}`] as const),
);
const ROMAN = new Map(Object.entries({ ii: "2", iii: "3", iv: "4", vi: "6", vii: "7", viii: "8", ix: "9" }));

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
  const tokens = all.filter((_, index) => !isNumber || index !== at).map(streetToken);
  return { number: number.replace(/^0+(?=\d)/, ""), tokens };
}

/** "Hauptstraße" and "Hauptstr." are one. */
function streetToken(word: string): string {
  const street = STREET_WORDS.get(word) ?? (STREET_KINDS.has(word) ? word : null);
  return street ?? oneVowel(word.length > 9 && word.endsWith("strasse") ? word.slice(0, -4) : word);
}

const STREET_KINDS = new Set(STREET_WORDS.values());

const NUMBERED = words("highway hwy route rte rt road rd interstate i county cr sr us fm suite unit ste");

/** A city without points of the compass, "city of" and the like. */
export function cityForm(city: string): string {
  const all = plainWords(city).map((word) => CITY_WORDS.get(word) ?? word);
  const kept = all.filter((word) => !CITY_EXTRAS.has(word));
  return (kept.length === 0 ? all : kept).map(oneVowel).join(" ");
}

const CITY_WORDS = new Map(
  Object.entries({ st: "saint", ste: "saint", ft: "fort", mt: "mount", hts: "heights", spgs: "springs", pk: "park" }),
);
const CITY_EXTRAS = words("city of town township village borough metro greater n s e w north south east west the");

/** True where both words are ordinary ones: no misspelling makes one of the other. */
export function areKnown(one: string, two: string): boolean {
  return KNOWN.has(one) && KNOWN.has(two);
}

/** True for words that companies add to their name or leave out. */
export function saysLittle(token: string): boolean {
  return SAYING_LITTLE.has(token);
}

/** True for words that the same company puts behind its name here and leaves out there. */
export function isAdded(token: string): boolean {
  return ADDED.has(token);
}

/** Number of the line of opposites that a word is in, or -1. */
export function oppositeKind(token: string): number {
  return OPPOSED.get(token) ?? -1;
}

/** How common a word is before any data: pseudo-occurrences among `PRIOR_NAMES` names. */
export function priorOccurrences(token: string): number {
  if (GENERAL.has(token)) return 60;
  return token.length <= 2 ? 10 : 0;
}

/** Names that the prior stands for. */
export const PRIOR_NAMES = 4_000;

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

const GENERAL = new Set([...GENERAL_WORDS].map(tokenOf));
const KNOWN = new Set([...GENERAL_WORDS, ...ORDINARY_WORDS].map(tokenOf));
const ADDED = new Set([...ADDED_WORDS].map(tokenOf));
const SAYING_LITTLE = new Set([...ADDED, ...[...LITTLE_WORDS].map(tokenOf)]);
const OPPOSED = new Map(OPPOSITES.flatMap((list, kind) => [...list].map((word) => [tokenOf(word), kind] as const)));

function words(text: string): Set<string> {
  return new Set(text.split(/\s+/).filter((word) => word !== ""));
}
