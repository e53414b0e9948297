/** Lists of other countries, and lists that are closed, scripted or mixed with others: every record, every field, nothing else. */
import { expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema } from "../adapters/config.ts";
import { readList } from "../domain/general/list.ts";
import { parsePage } from "../domain/page.ts";
import { WILD_LISTS } from "../fixtures/other-countries.ts";

const schema = loadSchema(DEFAULT_CONFIG_DIR, "default");

test.each(Object.entries(WILD_LISTS))("%s", (_, { html, contentType = "text/html", records }) => {
  const page = parsePage({ url: "https://lantern.example/list", text: html, contentType });
  const entries = readList(page, schema, null, { trusting: true })?.entries ?? [];
  const read = entries.filter(({ missing }) => missing.length === 0).map(({ fields }) => fields);
  const byName = (all: readonly Record<string, unknown>[]) =>
    [...all].sort((a, b) => String(a.company_name).localeCompare(String(b.company_name)));
  const asked = [...new Set(records.flatMap((record) => Object.keys(record)))];
  // A field that the list has for others and not for this one is to be empty.
  const only = (fields: Record<string, unknown>) =>
    Object.fromEntries(asked.map((name) => [name, fields[name] ?? null]));
  expect(byName(read.map(only))).toEqual(byName(records.map(only)));
});
