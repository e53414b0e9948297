import { load } from "cheerio";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_CONFIG_DIR, loadSchema } from "../adapters/config.ts";
import type { Scope } from "../domain/page.ts";
import { findNodes, isNode } from "../domain/plain-selectors.ts";

const schema = loadSchema(DEFAULT_CONFIG_DIR, "default");
const SELECTORS = [
  ...schema.fields.flatMap(({ selectors }) => selectors.flatMap(({ css }) => css ?? [])),
  ...schema.listItem.flatMap(({ css }) => css ?? []),
  ...schema.address.selectors,
  ..."h1|main h1|strong a|a.name|a[href^='tel:']|a[href]|[itemprop~='name']|div div b|#x|b#x.name|[data-lat='1']".split(
    "|",
  ),
  ..."a, b|tr > td|li:first-child|[rel='NEXT']|.name:not(b)|*|b + i|[title*=\"a b\"]".split("|"),
];

const element: fc.Memo<string> = fc.memo((depth) => {
  const attributes = fc
    .record({
      class: fc.option(fc.subarray(["name", "phone", "website", "org", "fn", "member-item", "names", "address"])),
      id: fc.option(fc.constantFrom("x", "y")),
      href: fc.option(fc.constantFrom("tel:1", "mailto:a@b.example", "/x")),
      itemprop: fc.option(fc.constantFrom("name", "name url", "address")),
      rel: fc.option(fc.constantFrom("next", "NEXT")),
      "data-lat": fc.option(fc.constantFrom("1", "")),
      title: fc.option(fc.constantFrom("a b", "ab")),
    })
    .map((given) =>
      Object.entries(given)
        .filter(([, value]) => value !== null)
        .map(([name, value]) => ` ${name}="${Array.isArray(value) ? value.join(" ") : value}"`)
        .join(""),
    );
  const inner =
    depth <= 1 ? fc.constant("t") : fc.array(element(depth - 1), { maxLength: 4 }).map((all) => all.join(""));
  return fc
    .tuple(fc.constantFrom("div", "span", "b", "a", "h1", "main", "strong"), attributes, inner)
    .map(([tag, given, text]) => `<${tag}${given}>${text}</${tag}>`);
});

test("finds what the selector engine finds, in its order", () => {
  fc.assert(
    fc.property(fc.array(element(4), { minLength: 1, maxLength: 3 }), (parts) => {
      const $ = load(parts.join(""));
      const scopes: Scope[] = [$.root(), $("body"), $("div").first(), $("main").last()];
      for (const scope of scopes)
        for (const css of SELECTORS) {
          expect(findNodes(scope, css), css).toEqual(scope.find(css).toArray());
          expect(isNode(scope.first(), css), css).toBe(scope.first().is(css));
        }
    }),
    { numRuns: 25, seed: 7 },
  );
});

test("as many as asked for, and each once where one scope holds another", () => {
  const $ = load("<div><div><b>1</b><b>2</b></div><b>3</b></div>");
  expect(findNodes($("body"), "b", 2).map((node) => $(node).text())).toEqual(["1", "2"]);
  expect(findNodes($("div"), "b")).toHaveLength(3);
});
