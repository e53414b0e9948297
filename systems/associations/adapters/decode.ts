/**
 * Bytes to text in the encoding that the page has, whatever it claims.
 *
 * A byte order mark is believed, then the header, then `<meta charset>`. Claims that the bytes disprove are not: text that is valid
 * UTF-8 with more than ASCII in it is UTF-8, and what is not is read as Windows-1252 where UTF-8 was claimed.
 */

const BYTES_TO_SNIFF = 2048;
/** Encodings that accept any bytes, so that claiming them proves nothing. */
const SINGLE_BYTE = /^(iso-?8859-1|latin-?1|windows-1252|cp1252|us-ascii|ascii)$/i;

/** The text; never throws. */
export function decodeBody(bytes: Uint8Array, contentType: string | null): string {
  const marked = markedEncoding(bytes);
  if (marked !== undefined) return new TextDecoder(marked).decode(bytes);
  for (const claim of [/charset\s*=\s*["']?([\w-]+)/i.exec(contentType ?? "")?.[1], metaEncoding(bytes)]) {
    const text = claim === undefined || SINGLE_BYTE.test(claim) ? null : decodeStrictly(bytes, claim);
    if (text !== null) return text;
  }
  return decodeStrictly(bytes, "utf-8") ?? new TextDecoder("windows-1252").decode(bytes);
}

/** Null for an encoding that nobody knows, and for bytes that are none of it. */
function decodeStrictly(bytes: Uint8Array, encoding: string): string | null {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function markedEncoding(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return "utf-8";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  return undefined;
}

function metaEncoding(bytes: Uint8Array): string | undefined {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, BYTES_TO_SNIFF));
  const named =
    /<meta[^>]+charset\s*=\s*["']?([\w-]+)/i.exec(head)?.[1] ??
    /<\?xml[^>]+encoding\s*=\s*["']([\w-]+)/i.exec(head)?.[1];
  // A tag that could be read byte by byte is not in UTF-16.
  return named !== undefined && /^utf-?16/i.test(named) ? "utf-8" : named;
}
