/**
 * Which technologies a web page shows: rules over its HTML, scripts, headers, cookies and meta tags.
 *
 * 1. Each pattern that matches is evidence with a confidence; pieces of evidence for one technology add up as chances do: 1 - (1-a)(1-b).
 * 2. What is implied (WooCommerce implies WordPress) is found with the confidence of what implies it, and in turn implies.
 * 3. Pure and bounded: only the first `MAX_CHARACTERS` of a page are looked at, and patterns have no nested repetition.
 */
import { load } from "cheerio";

export type TechCategory =
  | "erp"
  | "crm"
  | "marketing"
  | "cms"
  | "ecommerce"
  | "analytics"
  | "framework"
  | "server"
  | "language"
  | "cdn"
  | "payment"
  | "support"
  | "other";

export interface TechRule {
  name: string;
  category: TechCategory;
  /** The product family under which ERP and CRM systems are reported. Default: the name. */
  family?: string;
  /** Of one match, 0 to 1. Default 1. */
  confidence?: number;
  /** Patterns over the HTML text. The first group, where there is one, is the version. */
  html?: readonly RegExp[];
  /** Over the addresses of scripts. */
  script?: readonly RegExp[];
  /** Over the addresses of links, images and frames. */
  link?: readonly RegExp[];
  /** By header name in lower case. */
  headers?: Readonly<Record<string, RegExp>>;
  /** Over names of cookies. */
  cookies?: readonly RegExp[];
  /** By meta name in lower case. */
  meta?: Readonly<Record<string, RegExp>>;
  /** Names of technologies that come with it. */
  implies?: readonly string[];
}

export interface PageFacts {
  html: string;
  headers?: readonly (readonly [name: string, value: string])[];
}

export interface Detected {
  name: string;
  category: TechCategory;
  family: string;
  /** 0 to 1. */
  confidence: number;
  version: string | null;
  /** What matched, such as `script /sap-ui-core.js`; "implied by X" for the rest. */
  evidence: string[];
}

const MAX_CHARACTERS = 1_000_000;
/** Of an address, and of addresses: what is beyond is no address of a script. */
const MAX_ADDRESS = 500;
const MAX_ADDRESSES = 3_000;
const MAX_EVIDENCE = 5;

interface Material {
  html: string;
  scripts: string[];
  links: string[];
  headers: Map<string, string[]>;
  cookies: string[];
  meta: Map<string, string[]>;
}

/** Everything that the rules find, surest first. */
export function detectTechnologies(page: PageFacts, rules: readonly TechRule[]): Detected[] {
  const material = readPage(page);
  const found = new Map<string, Detected>();
  for (const rule of rules) {
    const matches = matchesOf(rule, material);
    if (matches.length > 0) found.set(rule.name, detected(rule, matches));
  }
  addImplied(found, rules);
  return [...found.values()].sort((a, b) => b.confidence - a.confidence || (a.name < b.name ? -1 : 1));
}

function readPage({ html, headers = [] }: PageFacts): Material {
  const text = html.slice(0, MAX_CHARACTERS);
  const $ = load(text);
  const addresses = (selector: string, attribute: string) =>
    $(selector)
      .toArray()
      .slice(0, MAX_ADDRESSES)
      .flatMap((element) => $(element).attr(attribute)?.slice(0, MAX_ADDRESS) ?? []);
  const meta = new Map<string, string[]>();
  for (const element of $("meta[content]").toArray()) {
    const name = ($(element).attr("name") ?? $(element).attr("property") ?? "").toLowerCase();
    if (name !== "") push(meta, name, $(element).attr("content") ?? "");
  }
  const byName = new Map<string, string[]>();
  for (const [name, value] of headers) push(byName, name.toLowerCase(), value);
  const cookies = (byName.get("set-cookie") ?? []).map((cookie) => cookie.split("=")[0]!.trim());
  return {
    html: text,
    scripts: addresses("script[src]", "src"),
    links: [
      ...addresses("link[href], a[href]", "href"),
      ...addresses("img[src], iframe[src], form[action]", "src"),
      ...addresses("form[action]", "action"),
    ],
    headers: byName,
    cookies,
    meta,
  };
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key) ?? [];
  list.push(value);
  map.set(key, list);
}

interface Match {
  evidence: string;
  version: string | null;
}

/** One match for each pattern at most. */
function matchesOf(rule: TechRule, material: Material): Match[] {
  const matches: Match[] = [];
  const look = (kind: string, patterns: readonly RegExp[] | undefined, texts: readonly string[]) => {
    for (const pattern of patterns ?? []) {
      for (const text of texts) {
        const match = pattern.exec(text);
        if (match === null) continue;
        matches.push({ evidence: `${kind} ${match[0].slice(0, 80)}`.trim(), version: match[1] ?? null });
        break;
      }
    }
  };
  look("script", rule.script, material.scripts);
  look("link", rule.link, material.links);
  look("html", rule.html, [material.html]);
  look("cookie", rule.cookies, material.cookies);
  for (const [name, pattern] of Object.entries(rule.headers ?? {})) {
    look(`header ${name}`, [pattern], material.headers.get(name) ?? []);
  }
  for (const [name, pattern] of Object.entries(rule.meta ?? {}))
    look(`meta ${name}`, [pattern], material.meta.get(name) ?? []);
  return matches;
}

function detected(rule: TechRule, matches: readonly Match[]): Detected {
  const missing = matches.reduce((rest) => rest * (1 - (rule.confidence ?? 1)), 1);
  return {
    name: rule.name,
    category: rule.category,
    family: rule.family ?? rule.name,
    confidence: Number((1 - missing).toFixed(4)),
    version: matches.find(({ version }) => version !== null)?.version ?? null,
    evidence: matches.slice(0, MAX_EVIDENCE).map(({ evidence }) => evidence),
  };
}

function addImplied(found: Map<string, Detected>, rules: readonly TechRule[]): void {
  const byName = new Map(rules.map((rule) => [rule.name, rule]));
  const open = [...found.values()];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const name of byName.get(next.name)?.implies ?? []) {
      const rule = byName.get(name);
      const known = found.get(name);
      if (rule === undefined || (known !== undefined && known.confidence >= next.confidence)) continue;
      const implied: Detected = known ?? { ...detected(rule, []), evidence: [] };
      implied.confidence = next.confidence;
      if (implied.evidence.length < MAX_EVIDENCE) implied.evidence.push(`implied by ${next.name}`);
      found.set(name, implied);
      open.push(implied);
    }
  }
}
