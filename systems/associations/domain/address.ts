/** Postal addresses as people write them in one or several lines: of the United States and Canada, and where `regions` knows the form. */
import { cleanText } from "./page.ts";
import { countryName, nameOfRegion, regionOf, STATE_NAMES, stateCode } from "./places.ts";
import { foreignTown } from "./regions.ts";

export interface Address {
  street: string | null;
  city: string | null;
  state: string | null;
  postal_code: string | null;
  country: string | null;
}

const POSTAL = /(?:^|[\s,])(\d{5}(?:-\d{4})?|[A-Z]\d[A-Z][ -]?\d[A-Z]\d)-?$/i;

/** The parts that can be told apart; null when not even a state or postal code is recognised. `region`: the country that the page speaks for. */
export function parseAddress(lines: readonly string[], region: string | null = null): Address | null {
  const parts = lines
    // "Toronto (ON) M5V 2T6"
    .map((line) =>
      line.replace(/\s*\(([^()]{2,25})\)/, (whole, word) => (stateCode(word) === null ? whole : `, ${word}, `)),
    )
    .flatMap((line) => line.split(/\s*,\s*|\s*[|•·]\s*/))
    .map(cleanText)
    .filter((part) => part !== "");
  const address: Address = { street: null, city: null, state: null, postal_code: null, country: null };
  takeCountry(parts, address);
  const abroad = addressAbroad(parts, address.country === null ? region : regionOf(address.country));
  if (abroad !== null) return abroad;
  takePostal(parts, address);
  // "ON Canada K1A 0B1" and the like: the country may stand on either side.
  if (address.country === null) takeCountry(parts, address);
  takeState(parts, address);
  if (address.state === null && address.postal_code === null) return null;
  address.city = parts.pop() ?? null;
  if (parts.length > 0) address.street = parts.join(", ");
  if (address.city !== null && /^\d+\s/.test(address.city)) {
    // A street without a city behind it.
    address.street = [address.street, address.city].filter((part) => part !== null).join(", ");
    address.city = null;
  }
  return address;
}

const COUNTY =
  /(?:shire|^(?:County |Co\.? )\S+|^(?:Kent|Essex|Surrey|Sussex|(?:East|West) Sussex|Devon|Cornwall|Dorset|Norfolk|Suffolk|Merseyside|Cumbria|Somerset|Middlesex|Tyne and Wear|West Midlands|Greater Manchester))$/i;

/** As addresses are written in other countries; the town may stand in the part before its postal code. */
function addressAbroad(all: readonly string[], region: string | null): Address | null {
  const at = all.findLastIndex((part) => foreignTown(part, region) !== null);
  const town = at < 0 ? null : foreignTown(all[at]!, region)!;
  if (town === null || at < all.length - 2) return null;
  const parts = all.slice(0, at);
  if (town.city === null && COUNTY.test(parts.at(-1) ?? "") && parts.length > 1) parts.pop();
  const city = town.city ?? parts.pop() ?? null;
  return {
    street: parts.length > 0 ? parts.join(", ") : null,
    city,
    state: town.state,
    postal_code: town.postal_code,
    country: nameOfRegion(town.region),
  };
}

function takeCountry(parts: string[], address: Address): void {
  const last = parts.at(-1);
  if (last === undefined || parts.length < 2) return;
  // "CA" at the end is California far more often than Canada, and "IN" is Indiana.
  const country = last.length > 2 || last.toUpperCase() === "US" ? countryName(last) : null;
  if (country === null || stateCode(last) !== null) return;
  address.country = country;
  parts.pop();
}

function takePostal(parts: string[], address: Address): void {
  const last = parts.at(-1);
  if (last === undefined) return;
  const match = POSTAL.exec(last) ?? damagedPostal(last);
  if (match === null) return;
  const rest = last.slice(0, match.index).trim();
  // "12345" alone as the only part may be anything.
  if (rest === "" && parts.length === 1) return;
  address.postal_code = match[1]!.toUpperCase();
  parts.pop();
  if (rest !== "") parts.push(rest);
}

/** What stands behind a state is its postal code, even where a digit was lost or added. */
function damagedPostal(text: string): RegExpExecArray | null {
  const match = /\s-?([A-Z\d][A-Z\d-]{2,9})$/i.exec(text);
  const damaged = match !== null && /\d/.test(match[1]!) && stateCode(text.slice(0, match.index)) !== null;
  return damaged ? match : null;
}

function takeState(parts: string[], address: Address): void {
  const last = parts.at(-1);
  if (last === undefined) return;
  const whole = stateCode(last);
  // "New York" alone before a postal code is a city as well as a state; with a part before it, it is the state.
  if (whole !== null && parts.length > 1) {
    address.state = whole;
    parts.pop();
    return;
  }
  const lower = last.toLowerCase();
  const name = STATE_NAMES.find((candidate) => lower.endsWith(` ${candidate}`));
  const tail = name === undefined ? /\s([A-Z]{2})$/.exec(last)?.[1] : last.slice(-name.length);
  const code = tail === undefined ? null : stateCode(tail);
  if (code === null || tail === undefined) return;
  address.state = code;
  parts[parts.length - 1] = last.slice(0, -tail.length).trim();
}
