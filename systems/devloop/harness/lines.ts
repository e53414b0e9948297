/**
 * Output of a program, cut into lines with bounded memory.
 *
 * Invariants:
 * 1. At most `maxLineBytes` of an unfinished line are held; a longer line is given as one marker, and its rest is dropped.
 * 2. Escape sequences of terminals and control characters are removed from what is handed on.
 */
import { StringDecoder } from "node:string_decoder";

export const MAX_LINE_BYTES = 10 * 1024 * 1024;

export interface LineCutter {
  add(chunk: Uint8Array): void;
  /** Gives what is left as a last line. */
  end(): void;
}

export function createLineCutter(onLine: (line: string) => void, maxLineBytes: number = MAX_LINE_BYTES): LineCutter {
  const decoder = new StringDecoder("utf8");
  let parts: string[] = [];
  let held = 0;
  let dropped = 0;
  const give = (): void => {
    const line = dropped > 0 ? `[a line of more than ${maxLineBytes} bytes was left out]` : parts.join("");
    parts = [];
    held = 0;
    dropped = 0;
    onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
  };
  const hold = (text: string): void => {
    if (dropped > 0 || held + text.length > maxLineBytes) {
      dropped += held + text.length;
      parts = [];
      held = 0;
    } else if (text !== "") {
      parts.push(text);
      held += text.length;
    }
  };
  return {
    add(chunk) {
      const text = decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      let at = 0;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", at)) {
        hold(text.slice(at, end));
        give();
        at = end + 1;
      }
      hold(text.slice(at));
    },
    end() {
      hold(decoder.end());
      if (held > 0 || dropped > 0) give();
    },
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are made of them
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the others that a terminal would act on
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** The text without what a terminal would act on. */
export function plainText(text: string): string {
  return text.replaceAll(ESCAPES, "").replaceAll(CONTROLS, "");
}

/** The last lines of an output, within a number of characters. */
export class Tail {
  private lines: string[] = [];
  private chars = 0;
  private readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  add(line: string): void {
    const kept = line.slice(-this.max);
    this.lines.push(kept);
    this.chars += kept.length + 1;
    // Thrown away in groups, so that a long output costs one pass.
    if (this.chars > 2 * this.max) this.trim();
  }

  private trim(): void {
    let from = this.lines.length;
    let chars = 0;
    while (from > 0 && chars + this.lines[from - 1]!.length + 1 <= this.max) chars += this.lines[--from]!.length + 1;
    this.lines = this.lines.slice(from);
    this.chars = chars;
  }

  text(): string {
    this.trim();
    return this.lines.join("\n");
  }
}
