/** Bytes to text in the encoding that the page has. */

const BYTES_TO_SNIFF = 2048;

/** By byte order mark, header, `<meta charset>`; else UTF-8, or Windows-1252 where the bytes are no UTF-8. */
export function decodeBody(bytes: Uint8Array, contentType: string | null): string {
  const named =
    markedEncoding(bytes) ?? /charset\s*=\s*"?([\w-]+)/i.exec(contentType ?? "")?.[1] ?? metaEncoding(bytes);
  if (named !== undefined) {
    try {
      return new TextDecoder(named).decode(bytes);
    } catch {
      // An encoding nobody knows: judge by the bytes.
    }
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
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
  return /<meta[^>]+charset\s*=\s*["']?([\w-]+)/i.exec(head)?.[1];
}
