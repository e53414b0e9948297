/** every statement that changes a job, run or window does so by compare-and-set; the list is made, not kept by hand. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { SQL } from "./sql.ts";

const FOLDER = fileURLToPath(new URL("./", import.meta.url));

const statements = Object.entries(SQL)
  .filter(([, sql]) => typeof sql === "string")
  .map(([name, sql]) => [name, String(sql).replaceAll(/\s+/g, " ")] as const);

const updates = (table: string) => statements.filter(([, sql]) => new RegExp(`UPDATE ${table} SET`).test(sql));

it("R-03: updates of jobs and runs ask for the row's version", () => {
  const all = [...updates("job"), ...updates("run")];
  expect(all.length).toBeGreaterThanOrEqual(5);
  // Payloads are written in the transaction in which their job's row was changed by compare-and-set.
  const unguarded = all.filter(([name, sql]) => name !== "payload" && !/WHERE seq = \? AND row_version = \?/.test(sql));
  expect(unguarded).toEqual([]);
  for (const [name, sql] of all) if (name !== "payload") expect(sql, name).toContain("row_version = row_version + 1");
});

it("R-03: windows are changed under their epoch, items only while they have no end, boots only while they live", () => {
  for (const [name, sql] of updates("item_window")) expect(sql, name).toContain("epoch = ?");
  expect(SQL.putItem.replaceAll(/\s+/g, " ")).toContain("WHERE item.state = 'pending'");
  for (const [name, sql] of updates("boot")) expect(sql, name).toContain("state = 'alive'");
});

it("R-03: what a save changes is counted, and a miss fails the transaction", () => {
  const save = readdirSync(FOLDER)
    .filter((name) => /^save.*\.ts$/.test(name))
    .map((name) => readFileSync(FOLDER + name, "utf8"))
    .join("\n");
  for (const [name] of [...updates("job"), ...updates("run"), ...updates("item_window")])
    if (name !== "payload") expect(save, `${name} is used in save*.ts`).toContain(`SQL.${name}`);
  for (const what of ["run ", "job ", "window ", "item "])
    expect(save).toMatch(new RegExp(`invariant\\(changes === 1, .${what}`));
});

it("R-03: statements outside sql.ts change no job's or run's state", () => {
  const files = readdirSync(FOLDER).filter((name) => /\.ts$/.test(name) && !/\.(test|child)\.ts$|^sql\.ts$/.test(name));
  for (const name of files) {
    const text = readFileSync(FOLDER + name, "utf8");
    for (const [, table, columns] of text.matchAll(/UPDATE (job|run|item_window|item) SET (.*?) WHERE/gs))
      expect(columns, `${name}: UPDATE ${table}`).not.toMatch(/\b(state|epoch|boot|open_jobs|live_jobs)\b/);
  }
});
