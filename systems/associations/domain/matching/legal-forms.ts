/**
 * What stands around the name of a company: how it is incorporated, in the languages of its country, whose part it is, and under which
 * other name it goes.
 *
 * 1. Nothing here depends on the data at hand: only on how companies are registered in general.
 * 2. A name never becomes empty: its first word stays, but for forms that stand before a name.
 */
import { editDistance } from "./edit-distance.ts";

const set = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Endings that say how a company is incorporated, not which company it is. */
const LEGAL_FORMS =
  set(`inc incorporated incorporation corp corporation llc llp lllp lp ltd limited ltda co company cos companies plc
pllc pc gmbh mbh ag kg kgaa ohg ug se sa sas sarl srl spa snc bv nv cv vof aps as asa ab oy oyj kk pty pte pvt sdn bhd ulc lc eurl sl slu
saic cia zoo kft doo eg ev ek gbr chartered sro sp publ haftungsbeschrankt aktiengesellschaft kommanditgesellschaft aktiebolag
osakeyhtio limitada lda sab eirl ltee enr uab eood ood ead bvba scrl nyrt zrt tbk ooo oao zao pao jsc ojsc pjsc cjsc tov dba`);

/** Forms in several words, as plain words with a space between them. Longer ones first. */
const LEGAL_PHRASES = new RegExp(
  String.raw`(?<=\S )(?:${`gesellschaft mit beschrankter haftung|public limited company|limited liability (?:company|partnership|co)|limited partnership|private limited|
sp z oo|spolka z ograniczona odpowiedzialnoscia|spolka akcyjna|societe par actions simplifiee|societe a responsabilite limitee|
societe anonyme|societa per azioni|societa a responsabilita limitata|sociedad anonima(?: bursatil)?(?: de capital variable)?|
sociedad (?:de responsabilidad )?limitada|sociedade anonima|sab? de cv|s de rl(?: de cv)?|srl de cv|besloten vennootschap|
naamloze vennootschap|kabushiki (?:kaisha|gaisha)|san(?:ayi)? (?:ve )?tic(?:aret)?(?: (?:anonim|limited) sirketi)?|anonim sirketi|sdn bhd|pty ltd|pte ltd`.replace(
    /\n/g,
    "",
  )})(?= |$)`,
  "g",
);

/** Forms of Japan, China and Korea stand at either end, without a space. */
const EASTERN_FORMS = /株式会社|有限会社|合同会社|股份有限公司|有限责任公司|有限公司|주식회사|\(株\)/g;

/** Stand before the name. */
const LEADING_FORMS = set("ooo oao zao pao tov pt");

const CLEAR_FORMS = set("inc incorporated corp corporation llc llp ltd limited gmbh plc pllc co company");
/** Recognised when misspelt as well. */
const LONG_FORMS = ["company", "corporation", "incorporated", "limited"];

/** A name in the script of a page: forms written into it are taken out. */
export function withoutEasternForms(name: string): string {
  return /[\u3000-\uffef]/.test(name) ? name.normalize("NFKC").replace(EASTERN_FORMS, " ") : name;
}

/** Without what says how it is incorporated: at the end any form, elsewhere those that are no other word. */
export function withoutLegalForms(words: readonly string[], isEmpty: (word: string) => boolean): string[] {
  const raw = withoutPhrases(words);
  const start = raw.length > 1 && LEADING_FORMS.has(raw[0]!) ? 1 : 0;
  let end = raw.length;
  while (end > start + 1 && (isLegalForm(raw[end - 1]!) || isEmpty(raw[end - 1]!))) end--;
  return raw.slice(start, end).filter((word, index) => index === 0 || !CLEAR_FORMS.has(word));
}

/** Words that begin or end a phrase; names without them need no search. */
const PHRASE_WORDS = set(
  "haftung limited liability oo odpowiedzialnoscia akcyjna simplifiee limitee anonyme azioni limitata anonima limitada cv rl vennootschap kaisha gaisha tic ticaret sirketi",
);

function withoutPhrases(words: readonly string[]): readonly string[] {
  if (!words.some((word) => PHRASE_WORDS.has(word))) return words;
  return words
    .join(" ")
    .replace(LEGAL_PHRASES, "")
    .split(" ")
    .filter((word) => word !== "");
}

function isLegalForm(word: string): boolean {
  if (LEGAL_FORMS.has(word)) return true;
  return word.length >= 6 && LONG_FORMS.some((form) => editDistance(word, form, 1) === 1);
}

/** Between a name and another one of the same company. */
const ALSO =
  /^(?:dba|aka|fka|nka|formerly(?: known as)?|previously(?: known as)?|doing business as|also known as|trading as|now known as)(?= |$)/;
/** Between a name and the company that it belongs to. */
const PART_OF = /^(?:an? )?(?:wholly owned )?(?:division|subsidiary|unit|affiliate) of(?= |$)/;
const MARKERS = set(
  "dba aka fka nka formerly previously doing also trading now a an wholly division subsidiary unit affiliate",
);

export interface Names {
  main: readonly string[];
  /** Another name of the same company. */
  also: readonly string[];
}

/** "Zorbel Holdings dba Quindle Coatings" has two names, "Zorbel Tool, a division of Quindle" one. */
export function namesIn(words: readonly string[]): Names {
  for (let at = 1; at < words.length - 1; at++) {
    if (!MARKERS.has(words[at]!)) continue;
    const rest = words.slice(at).join(" ");
    if (PART_OF.test(rest)) return { main: words.slice(0, at), also: [] };
    const marker = ALSO.exec(rest);
    const also =
      marker === null
        ? []
        : rest
            .slice(marker[0].length)
            .split(" ")
            .filter((word) => word !== "");
    if (also.length > 0) return { main: words.slice(0, at), also };
  }
  return { main: words, also: [] };
}
