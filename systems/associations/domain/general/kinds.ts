/**
 * What a piece of text is, judged by its content alone: a phone number, an address, a state, a label, or plain words.
 *
 * Invariants: no list of companies or sites is known here; the same text is always the same kind; a piece has one kind.
 */
import { cleanText } from "../page.ts";
import { phonesInText } from "../phone.ts";
import { stateCode } from "../places.ts";
import { foreignStreet, foreignTown } from "../regions.ts";

export type Kind =
  | "phone"
  | "fax"
  | "email"
  | "url"
  | "place"
  | "postal"
  | "state"
  | "street"
  | "label"
  | "noise"
  | "words";

export interface Piece {
  text: string;
  kind: Kind;
}

export const EMAIL = /[a-z0-9][a-z0-9._%+'-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}/i;
const URL_TEXT =
  /(?:https?:\/\/|www\.)[^\s<>"',;)]+|\b(?:[a-z0-9-]+\.)+(?:com|net|org|biz|info|us|ca|co|io|edu|gov|example|test|inc|shop|tech|uk|de|mx)(?:\/[^\s<>"',;)]*)?(?=$|[\s,;)|])/i;
const POSTAL = /^(?:\d{5}(?:-\d{4})?|[A-Z]\d[A-Z][ -]?\d[A-Z]\d)$/i;
const PLACE =
  /^[\p{L}][\p{L}.'’]*(?:[ -][\p{L}.'’]+){0,4},\s*([\p{L}. ]{2,24}?)(?:[\s,]+(?:\d{5}(?:-\d{4})?|[A-Z]\d[A-Z][ -]?\d[A-Z]\d))?(?:[\s,]+(?:USA?|U\.S\.A?\.?|United States(?: of America)?|Canada))?$/iu;
const STREET =
  /^(?:(?:\d+[A-Z]?(?:[-/]\d+)?|One|Two|Three) +(?:[NSEW]\.?|[NS][EW]|North|South|East|West)? ?[\p{L}\d][\p{L}\d .,'’#&/-]*|P\.? ?O\.? ?(?:Box|Drawer) ?#?\w+.*|(?:Suite|Ste\.?|Unit|Floor|Building|Bldg\.?) ?#?\w+)$/iu;
const STREET_WORD =
  /\b(st|street|ave|avenue|rd|road|blvd|boulevard|dr|drive|ln|lane|way|ct|court|pkwy|parkway|hwy|highway|pl|place|ter|terrace|cir|circle|sq|square|trl|trail|pike|plaza|loop|row|route|rte|broadway|run|alley|suite|ste|box|expy|freeway|fwy|turnpike|tpke|crossing|xing|parade|close|crescent|cres|mews|gardens|quay|walk|esplanade|point|pt|county|cr|fm|drawer)\b/i;
const LABEL_WORDS_ABROAD =
  /^(?:telefon(?:nummer)?|telefono|téléphone|teléfono|telefone|tél|tfno?|mobil|handy|telefax|télécopieur|courriel|e-?mailadresse|correo(?: electrónico)?|posta elettronica|webseite|internet|homepage|site web|site internet|sitio web|página web|sito web|adresse|anschrift|dirección|indirizzo|endereço|ort|stadt|ville|ciudad|città|plz|code postal|código postal|cap|land|pays|país|paese|firma|entreprise|empresa|azienda|ansprechpartner|contacto|contatto|responsable)\s?[.:]*$/iu;
const LABEL_WORDS =
  /^(?:(?:main|office|toll[- ]free|business|company|member|primary|mailing|street|physical|email|e-mail|web|fax|phone|mobile|cell|contact|postal|zip)[ -]?)*(?:phone|telephone|tel|ph|p|t|fax|f|e|w|m|mobile|cell|email|e-mail|mail|web|website|web site|site|url|address|location|contact|name|company|organi[sz]ation|business|city|state|province|zip|zip code|postal code|country|number|person|member since|since|joined|established|founded|membership|type|tier|level|category|categories|industry|products|services|description|about|hours)(?: ?(?:no|number|address|#))?\.?:?$/i;
const BUTTON =
  /^(?:(?:view|see|show|read|learn|get|visit|open|go to|click)\b.{0,24}\b(?:profile|details?|more|info(?:rmation)?|listing|website|web site|site|page|map|here|company|member)|(?:full|more) ?(?:profile|details?|info(?:rmation)?|listing)?|website|web site|visit|details?|profile|map|directions|(?:get )?directions|email(?: us)?|e-mail|contact(?: us)?|call(?: now)?|share|print|vcard|download|facebook|twitter|linkedin|instagram|youtube|back to top|top|edit|n\/a|none|home|(?:next|previous|prev)(?: \d+| page)?|search|filter|sort|reset|apply|login|log in|join|→|»|›|>)\W*$/i;

/** "Showing 1-20 of 200", "43 members": the page speaks of itself. */
const COUNT =
  /^(?:(?:showing|displaying|viewing|results?|page|records?)\b.*\d.*|\d[\d,]* (?:total |matching )?(?:members?|results|companies|listings|records|entries)(?: found)?)$/i;

/** Nobody is called so, wherever it stands. */
export function isCount(text: string): boolean {
  return COUNT.test(text);
}

/** The kind of a text that is one thing. */
export function kindOf(source: string, region: string | null = null): Kind {
  const text = cleanText(source).replace(ADDRESS_LABEL, "");
  if (text.length < 2 || text.length > 400) return text.length > 400 ? "words" : "noise";
  if (LABEL_WORDS.test(text) || LABEL_WORDS_ABROAD.test(text) || (/:$/.test(text) && text.length <= 32)) return "label";
  if (BUTTON.test(text) || COUNT.test(text)) return "noise";
  if (EMAIL.test(text) && text.length <= 90) return "email";
  const abroad = foreignTown(text, region);
  if (abroad !== null) return abroad.city === null && abroad.state === null ? "postal" : "place";
  const phones = phonesInText(text, region ?? undefined);
  if (phones.length > 0 && text.length <= phones.length * 20 + 24) return phones[0]!.fax ? "fax" : "phone";
  if (new RegExp(`^(?:${URL_TEXT.source})$`, "i").test(text)) return "url";
  if (POSTAL.test(text)) return "postal";
  if (isPlace(text)) return "place";
  if (isStateText(text)) return "state";
  if (STREET.test(text) && STREET_WORD.test(text) && text.length <= 90 && !LEGAL.test(text.split(" ").at(-1)!))
    return "street";
  if (region !== null && FOREIGN_STREET.test(text) && foreignStreet(text, { before: true })) return "street";
  if (!/\p{L}/u.test(text)) return "noise";
  return "words";
}

const FOREIGN_STREET =
  /(stra(ss|ß)e|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|plein|gatan|vägen|vej|gade|gata|veien|katu|tie|utca)\b.{0,3} ?\d|^\d+[a-z]?,? (rue|avenue|boulevard|chemin|quai|place|impasse|allée)\b|^(via|viale|corso|piazza|calle|avda|avenida|plaza|rua|ul\.|ulica) .*\d/iu;

/** "Mailing: PO Box 12" is a street. */
const ADDRESS_LABEL =
  /^(?:mailing|physical|street|postal|billing|shipping|business|office|main|location|headquarters|hq)(?: address| location| office)?\s*:\s*(?=\S)/i;

function isStateText(text: string): boolean {
  // "Co." ends names of companies; Colorado is written CO.
  return stateCode(text) !== null && (/^[A-Z]{2}$|^[A-Z]\.[A-Z]\.$/.test(text) || /^[\p{L} ]{4,}$/u.test(text));
}

/** `City, ST`, with or without postal code and country. */
function isPlace(text: string): boolean {
  const match = PLACE.exec(text);
  if (match !== null && stateCode(match[1]!.trim()) !== null) return true;
  // "Springfield IL 62701" and "OH 45402".
  const behind =
    /^(?:[\p{L}][\p{L} .'’-]* )?([A-Z]{2}|[\p{L} ]{4,20}) +(?:\d{5}(?:-\d{4})?|[A-Z]\d[A-Z][ -]?\d[A-Z]\d)$/u.exec(
      text,
    );
  return behind !== null && (stateCode(behind[1]!) !== null || stateCode(behind[1]!.split(" ").at(-1)!) !== null);
}

const LEGAL =
  /^(?:inc|llc|l\.l\.c|ltd|corp|co|company|corporation|incorporated|limited|lp|llp|plc|gmbh|p\.?c|s\.?a|pllc|jr|sr|the)\.?$/i;
const STRONG =
  /(?<!\b(?:co|inc|ltd|corp|bros|mfg|jr|sr|cos|l\.l\.c|l\.p|s\.a))\s*\.\s*(?=\||$)|\s*[|•·;\n]\s*|\s+[-–—/]\s+|\.\s+(?=(?:ph|tel|phone|fax|email|e-mail|web|www)\b)/i;

/**
 * A line that holds several things, taken apart: numbers and addresses of the net first, then what commas and bars divide.
 * A line that is one thing comes back as it is.
 */
export function takeApart(source: string, region: string | null = null): Piece[] {
  const text = cleanText(source).replace(/\(([^()]*,\s*[A-Z]{2})\)/g, "| $1 |");
  const kind = (part: string) => kindOf(part, region);
  const whole = kind(text);
  const simple = whole !== "words" && whole !== "phone" && whole !== "email" && !(whole === "street" && /,/.test(text));
  if (text === "" || simple) return [{ text, kind: whole }];
  if (text.length > 600) return [{ text, kind: "words" }];
  const marks = marksIn(text, region);
  const parts = remainder(text, marks)
    .split(STRONG)
    .flatMap((part) => commaParts(tidy(part), kind));
  const telling = marks.length + parts.filter(({ kind }) => ADDRESS.has(kind)).length;
  if (telling === 0 || (marks.length === 1 && parts.length === 0)) return [{ text, kind: whole }];
  return [...parts, ...marks.map(({ text: mark, kind }) => ({ text: mark, kind }))];
}

const ADDRESS = new Set<Kind>(["place", "postal", "state", "street"]);

type KindOf = (text: string) => Kind;

/** Commas divide only where an address is part of the line: "Smith, Jones & Co." is one name, with or without a city behind it. */
function commaParts(text: string, kind: KindOf): Piece[] {
  if (text === "") return [];
  const parts = addressParts(
    joinLegal(
      text
        .split(/,\s+/)
        .map(tidy)
        .filter((part) => part !== ""),
    ),
    kind,
  );
  const first = parts.findIndex(({ kind }) => ADDRESS.has(kind));
  if (first < 0) return [{ text, kind: kind(text) }];
  const name = parts.slice(0, first);
  const end = name.findIndex((part) => LEGAL.test(part.text.split(" ").at(-1)!));
  const joined = end < 0 ? name : name.slice(0, end + 1);
  const whole = joined.map((part) => part.text).join(", ");
  return [...(whole === "" ? [] : [{ text: whole, kind: kind(whole) }]), ...parts.slice(joined.length)];
}

interface Mark extends Piece {
  start: number;
  end: number;
}

function marksIn(text: string, region: string | null): Mark[] {
  const marks: Mark[] = [];
  const add = (mark: Mark) => {
    if (!marks.some((known) => known.start < mark.end && mark.start < known.end)) marks.push(mark);
  };
  for (const match of text.matchAll(new RegExp(EMAIL.source, "gi")))
    add({ text: match[0], kind: "email", start: match.index, end: match.index + match[0].length });
  for (const match of text.matchAll(new RegExp(URL_TEXT.source, "gi")))
    add({ text: match[0].replace(/[.)]+$/, ""), kind: "url", start: match.index, end: match.index + match[0].length });
  for (const { number: _, start, end, fax } of phonesInText(text, region ?? undefined))
    add({ text: text.slice(start, end), kind: fax ? "fax" : "phone", start, end });
  return marks.sort((a, b) => a.start - b.start);
}

const MARK_LABEL =
  /[\s,;(]*\b(?:main |office |toll[- ]free |business )*(?:phone|telephone|telefon|téléphone|teléfono|telefono|tel|tél|ph|fax|email|e-mail|courriel|correo electrónico|correo|mail|web ?site|webseite|site web|sitio web|sito web|web|url|p|t|f|e|w)(?: ?(?:no|number|#))?\s*[.:]*\s*$/iu;

/** The text without its marks and the labels before them. */
function remainder(text: string, marks: readonly Mark[]): string {
  let rest = "";
  let at = 0;
  for (const { start, end } of marks) {
    rest += `${text.slice(at, start).replace(MARK_LABEL, "")} | `;
    at = end;
  }
  return rest + text.slice(at);
}

/** "Acme, Inc." is one name. */
function joinLegal(parts: string[]): string[] {
  const joined: string[] = [];
  for (const part of parts) {
    if (joined.length > 0 && LEGAL.test(part)) joined[joined.length - 1] += `, ${part}`;
    else joined.push(part);
  }
  return joined;
}

/** City and state that a comma divided belong together again. */
function addressParts(parts: string[], kind: KindOf): Piece[] {
  const pieces: Piece[] = [];
  for (const part of parts) {
    const last = pieces.at(-1);
    const own = kind(part);
    // "NSW 2150" and "RG1 1AF" behind their town.
    const abroad = (own === "place" || own === "postal") && foreignTown(part, null)?.city === null;
    const closes =
      abroad || own === "state" || (own === "place" && stateCode(part.replace(/ [A-Z]?\d.*$/, "")) !== null);
    // New York and Washington are cities where a state follows them.
    const city = last !== undefined && (isCityLike(last) || (last.kind === "state" && last.text.length > 2));
    if (closes && city && (pieces.length > 1 || last.kind === "state" || parts.length === 2))
      pieces[pieces.length - 1] = { text: `${last.text}, ${part}`, kind: "place" };
    else if (own === "postal" && last?.kind === "place") last.text += ` ${part}`;
    else pieces.push({ text: part, kind: own });
  }
  return pieces;
}

/** No company: "Jones & Co., Washington, DC". */
function isCityLike({ text, kind }: Piece): boolean {
  return kind === "words" && !/[&\d]/.test(text) && !LEGAL.test(text.split(" ").at(-1)!);
}

function tidy(text: string): string {
  return cleanText(text)
    .replace(/^[\s,;:|•·–—-]+|[\s,;:|•·–—-]+$/g, "")
    .replace(/^\((?=[^)]*$)|(?<=^[^(]*)\)$|\s*\($/g, "");
}
