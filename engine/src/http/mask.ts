/**
 * Secrets never leave the server: values of variables whose names say that they are secret are replaced in everything that
 * it sends, as they are and in the forms in which they travel (base64, percent-escapes, JSON escapes).
 *
 * Owner: http. Invariants: (1) a stream is masked across the borders of its pieces: the end of each piece is held back until
 * it can't be the beginning of a secret; (2) artifacts are not changed: their name is the hash of their bytes.
 */

const SECRET_NAME = /(SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|CREDENTIAL|AUTH)/i;
/** Shorter values would be found in ordinary text. */
const MIN_LENGTH = 8;
const MAX_SECRETS = 500;

export interface Masker {
  text(given: string): string;
  /** Text or bytes that come in pieces. */
  stream(pieces: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

const NOTHING: Masker = { text: (given) => given, stream: (pieces) => pieces };

/** The secrets among the variables, by their names. */
export function secretsOf(env: Readonly<Record<string, string | undefined>>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(env))
    if (SECRET_NAME.test(name) && value !== undefined && value.length >= MIN_LENGTH && found.size < MAX_SECRETS)
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
  const text = replacerOf(names);
  // Bytes are looked at as Latin-1, in which a secret beyond ASCII has another text.
  const latin = new Map([...names].map(([form, name]) => [Buffer.from(form).toString("latin1"), name]));
  const longest = Math.max(...[...latin.keys()].map((form) => form.length));
  return { text, stream: (pieces) => masked(pieces, replacerOf(latin), longest) };
}

function replacerOf(names: ReadonlyMap<string, string>): (given: string) => string {
  const forms = [...names.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(forms.map((form) => form.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  return (given) => given.replace(pattern, (found) => `[${names.get(found)}]`);
}

/** Bytes are looked at as Latin-1, in which each byte is one character, so that nothing is lost. */
async function* masked(
  pieces: AsyncIterable<Uint8Array>,
  text: (given: string) => string,
  longest: number,
): AsyncGenerator<Uint8Array> {
  let held = "";
  for await (const piece of pieces) {
    const whole = text(held + Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString("latin1"));
    const cut = Math.max(0, whole.length - longest + 1);
    held = whole.slice(cut);
    if (cut > 0) yield Buffer.from(whole.slice(0, cut), "latin1");
  }
  if (held !== "") yield Buffer.from(held, "latin1");
}
