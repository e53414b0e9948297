/** Proposed selectors: replayed on the pages they were made from, accepted only when they hold, stored once. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema, schemaFileIn } from "../adapters/config.ts";
import { extractPage } from "../domain/extract.ts";
import { parsePage } from "../domain/page.ts";
import { checkProposal, schemaFileOf } from "../domain/selector-proposal.ts";
import { BUILDS, listedMembers } from "../fixtures/directories.ts";
import { randomness } from "../fixtures/members.ts";
import { selectorChecker, selectorWriter } from "../jobs/extraction/selector_writer.ts";
import { call, fakeContext, Memory } from "./harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const MEMBERS = listedMembers(30, 31);
const html = BUILDS["labelled definition lists"]!(MEMBERS, randomness(1)).html;
const PAGE = parsePage({ url: "https://guild.example/list", text: html });
const check = (proposal: unknown) =>
  checkProposal(schemaFileOf(proposal), [PAGE], (name) => schemaFileIn(DEFAULT_CONFIG_DIR, name));

const GOOD = {
  list_item: "main > div",
  fields: {
    company_name: { selectors: ["h4"] },
    phone: { selectors: ["//dt[.='Phone']/following-sibling::dd[1]"] },
    website: { selectors: ["//dt[.='Web']/following-sibling::dd[1]/a"], extract: "href" },
  },
};

describe("a proposal", () => {
  test("that holds finds every member and nothing of its neighbours", () => {
    const { accepted, reasons, records, filled } = check(GOOD);
    expect([accepted, reasons, records]).toEqual([true, [], 30]);
    const phones = MEMBERS.filter(({ phone }) => phone !== null).length;
    expect(filled.phone).toBeCloseTo(phones / 30, 2);
  });

  test.each([
    ["finds nothing", { ...GOOD, list_item: ".member-row" }, /find no record/],
    [
      "finds a part",
      { ...GOOD, list_item: "main > div:nth-of-type(-n+10)" },
      /10 records, though the pages show about 30/,
    ],
    ["takes labels for names", { ...GOOD, fields: { company_name: { selectors: ["dt"] } } }, /names repeat/],
    [
      "names a field that is never there",
      { ...GOOD, fields: { ...GOOD.fields, email: { selectors: [".mail"] } } },
      /email is never filled/,
    ],
  ])("that %s is not accepted", (_, proposal, reason) => {
    const { accepted, reasons } = check(proposal);
    expect([accepted, reasons.join("\n")]).toEqual([false, expect.stringMatching(reason)]);
  });

  test.each([
    ["without a name", { list_item: "li", fields: { phone: { selectors: ["p"] } } }, /company_name: is missing/],
    ["with what is no selector", { ...GOOD, list_item: "div[[" }, /div\[\[/],
    ["with code in it", { ...GOOD, run: "process.exit()" }, /run: is not known/],
    ["with an unknown parser", { ...GOOD, fields: { company_name: { selectors: ["h4"], parser: "eval" } } }, /parser/],
    ["that is a text", "ul > li", /the proposal cannot be used/],
  ])("%s is refused", (_, proposal, message) => {
    expect(() => schemaFileOf(proposal)).toThrow(message);
  });
});

test("the checker stores what holds as the association's schema, once, and replays it", async () => {
  const configDir = await mkdtemp(join(tmpdir(), "selectors-"));
  cleanups.push(() => rm(configDir, { recursive: true }));
  await writeFile(join(configDir, "associations.yaml"), "NEW:\n  name: New\n  url: https://guild.example\n");
  const ctx = () => fakeContext(memory, "check");
  const memory = new Memory();
  const artifact = await ctx().artifact("page.html", html, { mediaType: "text/html" });
  const pages = [
    { url: PAGE.url, artifact, content_type: "text/html", link_header: null, fetched_at: "2026-01-29T12:00:00Z" },
  ];
  const input = { association: "NEW", configDir, pages };
  await expect(
    call(selectorChecker(), { ...input, proposal: { ...GOOD, list_item: "li" } }, ctx()),
  ).rejects.toMatchObject({
    name: "ParseError",
    message: expect.stringContaining("do not hold"),
  });
  const stored = await call(selectorChecker(), { ...input, proposal: GOOD }, ctx());
  expect(stored).toMatchObject({ schema: "new", records: 30 });
  const records = extractPage(PAGE, loadSchema(configDir, "new"), "list").records.map(({ fields }) => fields);
  expect(records.map(({ company_name, phone }) => [company_name, phone])).toEqual(
    MEMBERS.map(({ company_name, phone }) => [company_name, phone]),
  );
  await expect(call(selectorChecker(), { ...input, proposal: GOOD }, ctx())).rejects.toMatchObject({
    code: "invalid_config",
  });
});

test("the model that proposes has no tools, and its answer a form", () => {
  const agent = selectorWriter({ model: { id: "openai-compatible/any", baseURL: "http://127.0.0.1:9/v1" } });
  expect(agent).toMatchObject({ name: "extraction/selector_writer", kind: "llm" });
  expect(JSON.stringify(agent)).not.toContain("http_request");
});
