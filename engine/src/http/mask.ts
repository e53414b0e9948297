/**
 * Secrets never leave the server: values of variables whose names say that they are secret are replaced in everything that
 * it sends, as they are and in the forms in which they travel (base64, percent-escapes, JSON escapes).
 *
 * Owner: http. Invariants: (1) bytes are masked with what stands around them, each secret by as many bytes: whatever part of
 * a file is asked for, it is that part of the masked file; (2) JSON stays JSON; (3) artifacts are not changed: their name is
 * the hash of their bytes.
 */

const SECRET_NAME =
  /(SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|CREDENTIAL|AUTH(?!OR(?!I)))/i;
/** Names such as MAX_TOKENS, which say how many. */
const COUNT_NAME = /TOKENS$/i;
/** Shorter values would be found in ordinary text. */
const MIN_LENGTH = 8;
const MAX_SECRETS = 500;

/** Bytes that can be read from any place on; fewer than asked for only at their end. */
export type ReadAt = (at: number, bytes: number) => Promise<Buffer>;

export interface Masker {
  text(given: string): string;
  /** JSON, or parts of it with commas between. */
  json(given: string): string;
  /** The bytes between two places, in pieces. */
  bytes(read: ReadAt, range: { start: number; end: number }): AsyncIterable<Uint8Array>;
}

const NOTHING: Masker = {
  text: (given) => given,
  json: (given) => given,
  bytes: (read, range) => pieces(read, range, 0, (given) => given),
};

/** The secrets among the variables, by their names. */
export function secretsOf(env: Readonly<Record<string, string | undefined>>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(env))
    if (
      SECRET_NAME.test(name) &&
      value !== undefined &&
      value.length >= MIN_LENGTH &&
      found.size < MAX_SECRETS &&
      !(COUNT_NAME.test(name) && /^\d+$/.test(value))
    )
      found.set(name, value);
  return found;
}

/** The forms of a secret that are looked for. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  const inJson = JSON.stringify(value).slice(1, -1);
  const forms = [
    value,
    inJson,
    // Inside a JSON text that is itself a string of a JSON text.
    JSON.stringify(inJson).slice(1, -1),
    encodeURIComponent(value),
    encodeURIComponent(value).replaceAll("%20", "+"),
    bytes.toString("base64url"),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
  ];
  // In base64, what stands before shifts a text by one or two bytes: the part that is the same in any case is looked for.
  for (const shift of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    const from = shift === 0 ? 0 : shift + 1;
    const end = whole.length - ((bytes.length + shift) % 3 === 0 ? 0 : 1);
    for (const form of [whole.slice(from, end)]) forms.push(form, form.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return forms.filter((form) => form.length >= MIN_LENGTH);
}

export function maskerOf(secrets: ReadonlyMap<string, string>): Masker {
  const names = new Map<string, string>();
  for (const [name, value] of secrets) for (const form of formsOf(value)) if (!names.has(form)) names.set(form, name);
  if (names.size === 0) return NOTHING;
  // Bytes are looked at as Latin-1, in which each is one character; a secret beyond ASCII has another text there.
  const latin = new Map([...names].map(([form, name]) => [Buffer.from(form).toString("latin1"), name]));
  const longest = Math.max(...[...latin.keys()].map((form) => form.length));
  const cover = coverOf(latin);
  return {
    text: replacerOf(names),
    json: jsonReplacerOf(names),
    bytes: (read, range) => pieces(read, range, longest - 1, cover),
  };
}

function patternOf(forms: Iterable<string>): RegExp {
  const longestFirst = [...forms].sort((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map((form) => form.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
}

function replacerOf(names: ReadonlyMap<string, string>): (given: string) => string {
  const pattern = patternOf(names.keys());
  return (given) => given.replace(pattern, (found) => `[${names.get(found)}]`);
}

const NUMBER = /^-?\d[\d.eE+-]*$/;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

/** In JSON a secret stands in a text, is a number, or is an object or list as a whole: what takes its place is a text. */
function jsonReplacerOf(names: ReadonlyMap<string, string>): (given: string) => string {
  const isNumber = ([form]: [string, string]) => NUMBER.test(form);
  // Whatever holds a quote that is not escaped can't stand in a text.
  const isBare = ([form]: [string, string]) => /(?<!\\)"/.test(form);
  const isOutside = (entry: [string, string]) => /^[{[]/.test(entry[0]) && isBare(entry);
  const isInside = (entry: [string, string]) => !isNumber(entry) && !isBare(entry);
  const entries = [...names];
  const texts = replacerOf(new Map(entries.filter(isInside)));
  const numbers = replacerOf(new Map(entries.filter(isNumber)));
  const wholes = new Map(entries.filter(isOutside));
  const whole = patternOf(wholes.keys());
  const inTokens = (token: string) => {
    const masked = numbers(token);
    return masked === token || token.startsWith('"') ? masked : `"${masked}"`;
  };
  const hasNumbers = entries.some(isNumber);
  return (given) => {
    const first = wholes.size === 0 ? given : given.replace(whole, (found) => `"[${wholes.get(found)}]"`);
    const masked = texts(first);
    return hasNumbers ? masked.replace(TOKENS, inTokens) : masked;
  };
}

/** Puts the name of a secret, or stars where there is no room for it, in the place of each. Secrets may overlap. */
function coverOf(names: ReadonlyMap<string, string>): (given: Buffer) => Buffer {
  const pattern = patternOf(names.keys());
  return (given) => {
    const text = given.toString("latin1");
    pattern.lastIndex = 0;
    for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
      const { length } = found[0];
      const name = Buffer.from(`[${names.get(found[0])}]`).toString("latin1");
      given.write((name.length > length ? "" : name).padEnd(length, "*"), found.index, "latin1");
      pattern.lastIndex = found.index + 1;
    }
    return given;
  };
}

const PIECE = 256 * 1024;

/** Each piece is masked together with as much around it as a secret may have there. */
async function* pieces(
  read: ReadAt,
  { start, end }: { start: number; end: number },
  around: number,
  cover: (given: Buffer) => Buffer,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; ) {
    const from = Math.max(0, at - around);
    const to = Math.min(end, at + PIECE);
    const whole = cover(await read(from, to + around - from));
    const piece = whole.subarray(at - from, to - from);
    if (piece.length === 0) return;
    at += piece.length;
    yield piece;
  }
}
