/**
 * Values on the wire: what a statement takes and what a row gives.
 *
 * Invariants: (1) bigint, numeric and double precision arrive as numbers, bytea as bytes, everything else as the text that the
 * server sends, so that rows look the same as SQLite's; (2) an array is sent as one literal; (3) every text comes back as it
 * went: PostgreSQL has none with NUL, so that NUL goes as a character that stands for nothing, and that one doubled; (4) what is
 * neither text, number, bytes nor a list of these is refused before anything is sent.
 */

const BOOL = 16;
const BYTEA = 17;
const NUMBERS: ReadonlySet<number> = new Set([20, 21, 23, 26, 700, 701, 1700]);
const TEXT_ARRAYS: ReadonlySet<number> = new Set([1009, 1015]);
const NUMBER_ARRAYS: ReadonlySet<number> = new Set([1005, 1007, 1016]);

export type Decoder = (text: string) => unknown;

const ESCAPE = "\uffff";

function escapeText(text: string): string {
  if (!text.includes("\0") && !text.includes(ESCAPE)) return text;
  return text.replaceAll(ESCAPE, `${ESCAPE}1`).replaceAll("\0", `${ESCAPE}0`);
}

const asText: Decoder = (text) =>
  text.includes(ESCAPE) ? text.replaceAll(`${ESCAPE}0`, "\0").replaceAll(`${ESCAPE}1`, ESCAPE) : text;
const asBytes: Decoder = (text) => Buffer.from(text.slice(2), "hex");
const asBoolean: Decoder = (text) => text === "t";
const asNumbers: Decoder = (text) => (text === "{}" ? [] : text.slice(1, -1).split(",").map(Number));

/** Elements are quoted by the server only where they must be. */
const asTexts: Decoder = (text) =>
  [...text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|[^,]+/g)].map(([whole, quoted]) =>
    quoted === undefined ? (whole === "NULL" ? null : asText(whole)) : asText(quoted.replaceAll(/\\(.)/g, "$1")),
  );

export function decoderOf(type: number): Decoder {
  if (NUMBERS.has(type)) return Number;
  if (type === BYTEA) return asBytes;
  if (type === BOOL) return asBoolean;
  if (NUMBER_ARRAYS.has(type)) return asNumbers;
  if (TEXT_ARRAYS.has(type)) return asTexts;
  return asText;
}

function plain(value: unknown): string {
  if (typeof value === "string") return escapeText(value);
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  const error = new Error(`a value of type ${typeof value} cannot be stored`);
  throw Object.assign(error, { code: "22023" });
}

function element(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  if (typeof value === "number") return String(value);
  if (value instanceof Uint8Array) return `"\\\\x${Buffer.from(value).toString("hex")}"`;
  const text = plain(value);
  return `"${/["\\]/.test(text) ? text.replaceAll(/["\\]/g, "\\$&") : text}"`;
}

/** What `pg` writes: text, bytes, or null. @throws an error with the code 22023 for anything else */
export function encode(value: unknown): string | Buffer | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return Buffer.isBuffer(value) ? value : Buffer.from(value);
  if (Array.isArray(value)) return `{${value.map(element).join(",")}}`;
  return plain(value);
}
