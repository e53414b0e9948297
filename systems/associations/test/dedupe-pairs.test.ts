/** The measure of labelled pairs: how it reads them, and what it counts. */
import { expect, test } from "vitest";
import { f1, judge, readPairs } from "../dev/dedupe-pairs.ts";

test("both forms of pairs are read, and the quoting of the packaging is undone", () => {
  const text = [
    "COL name VAL ` zorbel \\ 's gears ' COL addr VAL '12 main st . ' COL city VAL toledo\tCOL name VAL zorbels gears COL addr VAL ' 12 main st. ' COL city VAL toledo\t1",
    '{"name":"Quindle"}\t{"name":"Marfex"}\t0',
    "",
    "half a line\tonly",
  ].join("\n");
  const pairs = readPairs(text);
  expect(pairs).toEqual([
    {
      left: { name: "zorbel \\ 's gears", addr: "12 main st.", city: "toledo" },
      right: { name: "zorbels gears", addr: "12 main st.", city: "toledo" },
      same: true,
    },
    { left: { name: "Quindle" }, right: { name: "Marfex" }, same: false },
  ]);
  expect(judge(pairs)).toMatchObject({ all: { found: 1, wrong: 0, missed: 0 }, errors: [] });
});

test("errors are counted, kept with their reasons, and F1 is that of their counts", () => {
  const one = { name: "Zorbel Gears", city: "Toledo" };
  const other = { name: "Quindle Forge", city: "Toledo" };
  const pairs = [
    { left: one, right: one, same: true },
    { left: one, right: { ...one }, same: false },
    { left: one, right: other, same: true },
    { left: one, right: other, same: false },
  ];
  const { all, folds, errors } = judge(pairs);
  expect(all).toEqual({ found: 1, wrong: 1, missed: 1 });
  expect(f1(all)).toBe(0.5);
  expect(folds.map(({ found, wrong, missed }) => [found, wrong, missed])).toEqual([
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [0, 0, 0],
    [0, 0, 0],
  ]);
  expect(errors.map(({ pair, score }) => [pair.same, score >= 0.85])).toEqual([
    [false, true],
    [true, false],
  ]);
  expect(errors[0]?.evidence[0]).toMatchObject({ field: "company_name", likeness: 1 });
  expect(f1({ found: 0, wrong: 0, missed: 3 })).toBe(0);
});
