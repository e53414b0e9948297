/** Text of PDF files with its places. The reader is loaded on use: it is two megabytes that most runs never need. */
import { ParseError } from "../domain/errors.ts";
import type { PlacedText } from "../domain/pdf-table.ts";

const MAX_PAGES = 2_000;

/** All texts of a document. @throws ParseError for what is no PDF, or is locked */
export async function readPdf(bytes: Uint8Array, name: string): Promise<{ texts: PlacedText[]; pages: number }> {
  const { getDocumentProxy } = await import("unpdf");
  const texts: PlacedText[] = [];
  try {
    const document = await getDocumentProxy(new Uint8Array(bytes), { verbosity: 0 });
    const pages = Math.min(document.numPages, MAX_PAGES);
    for (let number = 1; number <= pages; number++) {
      const page = await document.getPage(number);
      const { items } = await page.getTextContent();
      for (const item of items as { str?: string; transform: number[]; width: number }[])
        if (item.str !== undefined)
          texts.push({ text: item.str, x: item.transform[4]!, y: item.transform[5]!, width: item.width, page: number });
    }
    await document.loadingTask.destroy();
    return { texts, pages };
  } catch (error) {
    throw new ParseError(`${name} cannot be read as PDF: ${(error as Error).message}`, { url: name, cause: error });
  }
}
