/** The table of checks in the security guide: complete, and true of the tests that it names. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const guide = new URL("../../../docs/guides/security.md", import.meta.url);
const rows = [
  ...readFileSync(fileURLToPath(guide), "utf8").matchAll(
    /^\| ([SR]-\d\d) \| [^|]* \|((?:,? \[\w+\]\([^)\s]+\))*) \|$/gm,
  ),
].map(([, id, links = ""]) => ({ id, paths: [...links.matchAll(/\((\S+)\)/g)].map((link) => link[1] as string) }));

it("names each check of the list that applies, once", () => {
  const number = (at: number) => `S-${String(at).padStart(2, "0")}`;
  const wanted = [
    ...Array.from({ length: 24 }, (_, at) => number(at + 1)),
    ...Array.from({ length: 7 }, (_, at) => number(at + 31)),
  ];
  expect(rows.map((row) => row.id)).toEqual([...wanted, "R-36", "R-37"]);
});

it("names tests that are there and that speak of the check", () => {
  const silent = rows.filter(({ id, paths }) =>
    paths.some((path) => !readFileSync(fileURLToPath(new URL(path, guide)), "utf8").includes(id as string)),
  );
  expect(silent.map((row) => row.id)).toEqual([]);
  expect(rows.filter((row) => row.paths.length === 0).map((row) => row.id)).toEqual(["S-32"]);
});
