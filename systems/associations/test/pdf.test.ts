import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { listedMembers, shownPhone } from "../fixtures/directories.ts";
import { pdfOf } from "../fixtures/pdf-file.ts";
import { pdfParser } from "../jobs/extraction/pdf_parser.ts";
import { realServices } from "../jobs/web.ts";
import { call, fakeContext, Memory } from "./harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Standard fonts print a curly apostrophe. */
const straight = (text: unknown) => String(text).replaceAll("’", "'");

async function parse(bytes: Buffer) {
  const folder = await mkdtemp(join(tmpdir(), "pdf-"));
  cleanups.push(() => rm(folder, { recursive: true }));
  const path = join(folder, "members.pdf");
  await writeFile(path, bytes);
  return await call(
    pdfParser(realServices),
    { pdf_path: path, association: "GUILD" },
    fakeContext(new Memory(), "pdf"),
  );
}

test("a table over several pages, its headings repeated, columns by position", async () => {
  const members = listedMembers(60, 21);
  const X = [40, 260, 400, 450, 520];
  const rowsOf = (from: number) =>
    members.slice(from, from + 20).flatMap((member, at) => {
      const y = 700 - at * 20;
      const cells = [
        member.company_name,
        member.city,
        member.state,
        member.postal_code ?? "",
        shownPhone(member.phone, at),
      ];
      return cells.flatMap((text, column) => (text === "" ? [] : [{ x: X[column]!, y, text }]));
    });
  const head = ["Member", "City", "ST", "Zip Code", "Telephone"].map((text, column) => ({
    x: X[column]!,
    y: 740,
    text,
  }));
  const title = { x: 40, y: 780, text: "Guild of Makers - Membership Roster" };
  const { records, pages_processed } = await parse(pdfOf([0, 20, 40].map((from) => [title, ...head, ...rowsOf(from)])));
  expect(pages_processed).toBe(3);
  expect(
    records.map(({ company_name, city, state, postal_code, phone }) => ({
      company_name: straight(company_name),
      city,
      state,
      postal_code,
      phone,
    })),
  ).toEqual(
    members.map(({ company_name, city, state, postal_code, phone }) => ({
      company_name,
      city,
      state,
      postal_code,
      phone,
    })),
  );
  expect(records[0]!.provenance).toMatchObject({
    source_type: "pdf",
    extracted_by: "extraction/pdf_parser",
    fields: { company_name: "pdf", country: "default" },
  });
});

test("lines without a table", async () => {
  const members = listedMembers(12, 22);
  const lines = members.map((member, at) => ({
    x: 40,
    y: 700 - at * 20,
    text: `${member.company_name} - ${member.city}, ${member.state} ${member.postal_code} - ${shownPhone(member.phone) || "(614) 555-0100"}`,
  }));
  const { records } = await parse(pdfOf([[{ x: 40, y: 760, text: "Our members" }, ...lines]]));
  expect(records.map(({ company_name, city, state }) => [straight(company_name), city, state])).toEqual(
    members.map(({ company_name, city, state }) => [company_name, city, state]),
  );
});

test("what is no PDF is said to be none, and is left out", async () => {
  await expect(parse(Buffer.from("<html>no</html>"))).rejects.toMatchObject({
    name: "ParseError",
    category: "skippable",
  });
});
