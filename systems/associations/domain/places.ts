/** States, provinces and countries by name and code. */

const STATES = `Alabama AL|Alaska AK|Arizona AZ|Arkansas AR|California CA|Colorado CO|Connecticut CT|Delaware DE|District of Columbia DC|Florida FL
|Georgia GA|Hawaii HI|Idaho ID|Illinois IL|Indiana IN|Iowa IA|Kansas KS|Kentucky KY|Louisiana LA|Maine ME|Maryland MD|Massachusetts MA|Michigan MI
|Minnesota MN|Mississippi MS|Missouri MO|Montana MT|Nebraska NE|Nevada NV|New Hampshire NH|New Jersey NJ|New Mexico NM|New York NY|North Carolina NC
|North Dakota ND|Ohio OH|Oklahoma OK|Oregon OR|Pennsylvania PA|Rhode Island RI|South Carolina SC|South Dakota SD|Tennessee TN|Texas TX|Utah UT
|Vermont VT|Virginia VA|Washington WA|West Virginia WV|Wisconsin WI|Wyoming WY|Puerto Rico PR|Guam GU|Virgin Islands VI|American Samoa AS
|Northern Mariana Islands MP|Washington DC DC|Washington D.C. DC|D.C. DC`;

const PROVINCES = `Alberta AB|British Columbia BC|Manitoba MB|New Brunswick NB|Newfoundland and Labrador NL|Newfoundland NL|Nova Scotia NS|Ontario ON
|Prince Edward Island PE|Quebec QC|Québec QC|Saskatchewan SK|Northwest Territories NT|Nunavut NU|Yukon YT`;

const COUNTRIES = `United States=us,usa,u.s.,u.s.a.,united states of america,america|Canada=ca,can|Mexico=mx,mex,méxico|United Kingdom=uk,gb,great britain,england,scotland,wales
|Germany=de,deutschland|France=fr|Italy=it,italia|Spain=es,españa|Netherlands=nl,the netherlands,holland|Belgium=be|Austria=at|Switzerland=ch|Ireland=ie|Japan=jp|China=cn
|India=in|South Korea=kr,korea|Taiwan=tw|Australia=au|New Zealand=nz|Brazil=br,brasil|Poland=pl|Sweden=se|Norway=no|Denmark=dk|Finland=fi|Portugal=pt|Czech Republic=cz,czechia
|Türkiye=tr,turkey,turkiye|Hong Kong=hk,hong kong sar china|Vietnam=vn,viet nam|Singapore=sg|South Africa=za`;

const codeByName = new Map<string, string>();
const codes = new Set<string>();
for (const entry of `${STATES}|${PROVINCES}`.split(/\s*\|\s*/)) {
  const code = entry.slice(-2);
  codeByName.set(entry.slice(0, -3).toLowerCase(), code);
  codes.add(code);
}

const countryByWord = new Map<string, string>();
const regionByCountry = new Map<string, string>();
// The names of all countries are in Node's own data; what is listed above are the words that people use beside them.
const displayNames = new Intl.DisplayNames(["en"], { type: "region", fallback: "none" });
for (let first = 65; first <= 90; first++)
  for (let second = 65; second <= 90; second++) {
    const region = String.fromCharCode(first, second);
    const name =
      /^(EU|EZ|UN|X.|Q.|A[A-C]|ZZ|UK|DD|FX|SU|TP|YU|BU|CS|NT|ZR|AN|DY|HV|NH|RH|VD|YD|NQ|PU|PZ|MI|JT|WK|FQ|CT|PC)$/.test(
        region,
      )
        ? undefined
        : displayNames.of(region);
    if (name === undefined || regionByCountry.has(name)) continue;
    regionByCountry.set(name, region);
    countryByWord.set(name.toLowerCase(), name);
  }
for (const entry of COUNTRIES.split(/\s*\|\s*/)) {
  const [name = "", words = ""] = entry.split("=");
  countryByWord.set(name.toLowerCase(), name);
  for (const word of words.split(",")) countryByWord.set(word, name);
  const region = words.split(",").find((word) => word.length === 2);
  if (region !== undefined && !regionByCountry.has(name))
    regionByCountry.set(name, region === "uk" ? "GB" : region.toUpperCase());
}

/** The code of a US state or Canadian province given by name or code; null for anything else. */
export function stateCode(text: string): string | null {
  const word = text.trim().replace(/\s+/g, " ");
  const named = codeByName.get(word.toLowerCase());
  if (named !== undefined) return named;
  const code = word.replace(/\./g, "").toUpperCase();
  return codes.has(code) ? code : null;
}

/** The usual English name of a country given by name or short form; null for anything else. */
export function countryName(text: string): string | null {
  return countryByWord.get(text.trim().toLowerCase()) ?? null;
}

const provinces = new Set(PROVINCES.split(/\s*\|\s*/).map((entry) => entry.slice(-2)));

/** True for the code of a Canadian province or territory. */
export function isProvince(code: unknown): boolean {
  return typeof code === "string" && provinces.has(code);
}

/** ISO code of a country by its usual English name; null for anything else. */
export function regionOf(country: string): string | null {
  return regionByCountry.get(countryName(country) ?? "") ?? null;
}

/** The usual English name of a country by its ISO code; null for anything else. */
export function nameOfRegion(region: string): string | null {
  for (const [name, code] of regionByCountry) if (code === region) return name;
  return null;
}

/** Names of states that consist of several words, longest first: for finding them at the end of a line. */
export const STATE_NAMES: readonly string[] = [...codeByName.keys()].sort((a, b) => b.length - a.length);
