import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalUrl, isSocial, mergeQuery, resolveUrl, sameSite, urlKey, wrappedUrl } from "../domain/url.ts";

test.each([
  ["https://pma.org/directory/results.asp?n=2000", { n: 100 }, "https://pma.org/directory/results.asp?n=100"],
  ["https://a.test/list?state=OH&page=3", { page: 4 }, "https://a.test/list?state=OH&page=4"],
  ["https://a.test/list", { page: 2 }, "https://a.test/list?page=2"],
  ["https://a.test/list?", { page: 2 }, "https://a.test/list?page=2"],
  ["https://a.test/list?page=1&page=9#x", { page: 2 }, "https://a.test/list?page=2#x"],
])("%s with %o", (url, params, merged) => {
  expect(mergeQuery(url, params)).toBe(merged);
});

test("merging sets what was asked and keeps everything else, in order", () => {
  const word = fc.stringMatching(/^[a-z]{1,6}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(word, fc.string())), word, fc.nat(), (pairs, name, value) => {
      const query = new URLSearchParams(pairs);
      const merged = new URL(mergeQuery(`https://a.test/x?${query}`, { [name]: value })).searchParams;
      expect(merged.getAll(name)).toEqual([String(value)]);
      expect([...merged].filter(([other]) => other !== name)).toEqual([...query].filter(([other]) => other !== name));
    }),
  );
});

test("merging twice is merging once", () => {
  fc.assert(
    fc.property(fc.webUrl({ withQueryParameters: true }), fc.nat(), (url, page) => {
      const once = mergeQuery(url, { page });
      expect(mergeQuery(once, { page })).toBe(once);
    }),
  );
});

test.each([
  ["/m/1#top", "https://a.test/m/1"],
  ["?id=2&utm_source=x&fbclid=1", "https://a.test/list?id=2"],
  ["?q=a%20b", "https://a.test/list?q=a%20b"],
  ["//b.test/x", "https://b.test/x"],
  ["HTTP://B.test", "http://b.test/"],
  ["#top", null],
  ["javascript:void(0)", null],
  ["mailto:a@b.test", null],
  ["tel:1", null],
  ["http://", null],
  ["", null],
])("link %s", (href, url) => {
  expect(canonicalUrl(href, "https://a.test/list?page=1")).toBe(url);
});

test("hosts are compared, never parts of them", () => {
  expect(isSocial("https://www.facebook.com/acme")).toBe(true);
  expect(isSocial("https://notfacebook.com/acme")).toBe(false);
  expect(isSocial("https://example.com/facebook.com")).toBe(false);
  expect(isSocial("https://max.com/x.com")).toBe(false);
  expect(sameSite("https://www.a.test/x", "http://A.test/y")).toBe(true);
  expect(sameSite("https://a.test", "https://a.test.evil.test")).toBe(false);
});

test("spellings of one address have one key", () => {
  expect(urlKey("https://www.A.test/m/1/?b=2&a=1")).toBe(urlKey("http://a.test/m/1?a=1&b=2"));
  expect(urlKey("https://a.test/m?id=1")).not.toBe(urlKey("https://a.test/m?id=2"));
  expect(wrappedUrl("https://a.test/out?url=https%3A%2F%2Fb.test%2F")).toBe("https://b.test/");
  expect(resolveUrl(null, "https://a.test")).toBeNull();
});
