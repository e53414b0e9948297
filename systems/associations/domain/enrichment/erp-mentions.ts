/**
 * ERP systems by what people write about them, in job postings or lists of technologies.
 *
 * 1. Whole words only: "IFS" is not in "gifs", "SAP" not in "asap".
 * 2. Words that are also something else (sage, plex, made2manage, a surname) count only beside a word such as ERP, MRP or software.
 * 3. One system is named by a company's postings when one of its words occurs at least twice.
 */

export interface ErpSystem {
  /** As reported. */
  name: string;
  /** Written as they are; matched without regard to case, except those in capitals of up to four letters. */
  words: readonly string[];
  /** Words that need an ERP word nearby. */
  ambiguous?: readonly string[];
}

/** Products before their families, so that "JD Edwards" is not just Oracle. */
export const ERP_SYSTEMS: readonly ErpSystem[] = [
  { name: "Oracle JD Edwards", words: ["JD Edwards", "JDEdwards", "JDE"] },
  { name: "Oracle NetSuite", words: ["NetSuite", "Net Suite"] },
  { name: "SAP", words: ["SAP", "S/4HANA", "S4HANA", "SAP Business One", "SAP ECC", "Business ByDesign"] },
  {
    name: "Microsoft Dynamics",
    words: [
      "Dynamics 365",
      "Dynamics AX",
      "Dynamics NAV",
      "Dynamics GP",
      "Dynamics SL",
      "Business Central",
      "MS Dynamics",
      "Microsoft Dynamics",
      "Navision",
      "Great Plains ERP",
    ],
  },
  { name: "Epicor", words: ["Epicor", "Epicor Kinetic", "Prophet 21", "P21"], ambiguous: ["Kinetic", "Vantage"] },
  {
    name: "Infor",
    words: [
      "Infor LN",
      "Infor M3",
      "SyteLine",
      "Infor VISUAL",
      "CloudSuite Industrial",
      "Baan",
      "Infor XA",
      "MAPICS",
      "Infor ERP",
      "CloudSuite",
    ],
    ambiguous: ["Infor"],
  },
  { name: "SYSPRO", words: ["SYSPRO"] },
  { name: "Plex", words: ["Plex ERP", "Plex Systems", "Plex MES", "Plex Smart Manufacturing"], ambiguous: ["Plex"] },
  { name: "Acumatica", words: ["Acumatica"] },
  { name: "QAD", words: ["QAD", "MFG/PRO"] },
  { name: "IFS", words: ["IFS Applications", "IFS Cloud"], ambiguous: ["IFS"] },
  { name: "Global Shop Solutions", words: ["Global Shop Solutions", "Global Shop"] },
  {
    name: "Sage",
    words: [
      "Sage 100",
      "Sage 300",
      "Sage 500",
      "Sage X3",
      "Sage Intacct",
      "Sage 50",
      "MAS 90",
      "MAS90",
      "MAS 200",
      "Sage ERP",
    ],
    ambiguous: ["Sage"],
  },
  { name: "DELMIAworks", words: ["DELMIAworks", "IQMS", "EnterpriseIQ"] },
  { name: "JobBOSS", words: ["JobBOSS", "Job BOSS", "E2 Shop System", "E2 Shop", "E2 MFG", "JobBOSS2"] },
  { name: "M1", words: ["ECI M1", "M1 ERP"] },
  { name: "Odoo", words: ["Odoo"] },
  { name: "Workday", words: ["Workday Financials"], ambiguous: [] },
  {
    name: "Oracle",
    words: [
      "Oracle ERP",
      "Oracle EBS",
      "Oracle E-Business",
      "Oracle Fusion",
      "Oracle Cloud ERP",
      "Oracle Applications",
    ],
    ambiguous: ["Oracle"],
  },
];

const ERP_WORD =
  /\b(?:ERP|MRP|MRP II|MES|enterprise resource planning|material requirements planning|software|accounting system|business system)\b/i;
/** Letters on either side in which an ERP word makes an ambiguous word certain. */
const NEARBY = 60;
const MIN_MENTIONS = 2;

interface Pattern {
  system: string;
  word: string;
  pattern: RegExp;
  ambiguous: boolean;
}

const PATTERNS: readonly Pattern[] = ERP_SYSTEMS.flatMap(({ name, words, ambiguous = [] }) => [
  ...words.map((word) => ({ system: name, word, pattern: wholeWord(word), ambiguous: false })),
  ...ambiguous.map((word) => ({ system: name, word, pattern: wholeWord(word), ambiguous: true })),
]);

function wholeWord(word: string): RegExp {
  const escaped = word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&").replace(/ /g, "[\\s-]+");
  const capitals = /^[A-Z]{2,4}\d*$/.test(word);
  return new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, capitals ? "gu" : "giu");
}

export interface ErpMention {
  system: string;
  /** How often its most frequent word occurs. */
  mentions: number;
  word: string;
}

/** Every system that texts mention, the most mentioned first. */
export function erpMentions(texts: readonly string[]): ErpMention[] {
  const best = new Map<string, ErpMention>();
  for (const { system, word, pattern, ambiguous } of PATTERNS) {
    let mentions = 0;
    for (const text of texts) {
      for (const match of text.matchAll(pattern)) {
        if (!ambiguous || ERP_WORD.test(around(text, match.index, match[0].length))) mentions++;
      }
    }
    const known = best.get(system);
    if (mentions > 0 && (known === undefined || mentions > known.mentions))
      best.set(system, { system, mentions, word });
  }
  // Of equals, the order of the table: the product before its family.
  return [...best.values()].sort((a, b) => b.mentions - a.mentions);
}

function around(text: string, at: number, length: number): string {
  return `${text.slice(Math.max(0, at - NEARBY), at)} ${text.slice(at + length, at + length + NEARBY)}`;
}

/** The system that postings name often enough, or null. */
export function erpOfPostings(texts: readonly string[]): ErpMention | null {
  return erpMentions(texts).find(({ mentions }) => mentions >= MIN_MENTIONS) ?? null;
}

/** The system that a technology's name stands for, as in lists of technologies; null for none. "Oracle" alone is a database. */
export function erpOfTechnology(name: string): string | null {
  for (const { system, word, pattern, ambiguous } of PATTERNS) {
    pattern.lastIndex = 0;
    if (ambiguous ? word !== "Oracle" && name.trim() === word : pattern.test(name)) return system;
  }
  return null;
}

const CRM_SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\bsalesforce\b|\bforce\.com\b/i, "Salesforce"],
  [/\bhubspot\b/i, "HubSpot"],
  [/\bdynamics (?:365 )?(?:crm|sales|customer engagement)\b/i, "Microsoft Dynamics CRM"],
  [/\bzoho crm\b/i, "Zoho"],
  [/\bpipedrive\b/i, "Pipedrive"],
  [/\bsugarcrm\b/i, "SugarCRM"],
  [/\binsightly\b/i, "Insightly"],
  [/\bact! crm\b/i, "Act!"],
];

/** The CRM system that a technology's name stands for; null for none. */
export function crmOfTechnology(name: string): string | null {
  return CRM_SYSTEMS.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}
