/**
 * Serves a real list of companies as a directory, to look at or to crawl by hand.
 *
 *   node --conditions=source systems/associations/dev/serve-companies.ts [CSV] [--port 8138] [--pages query|offset|path|next|numbers]
 *        [--markup dl|table|classes|lines|microdata] [--shape detail|list]
 */
import { parseArgs } from "node:util";
import type { CompanySiteOptions } from "./company-site.ts";
import { DEFAULT_CSV, readCompanies, serveCompanies } from "./company-site.ts";

const {
  values: { port, ...shape },
  positionals,
} = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "8138" },
    pages: { type: "string", default: "query" },
    markup: { type: "string", default: "dl" },
    shape: { type: "string", default: "detail" },
  },
});
const csv = positionals[0] ?? DEFAULT_CSV;
const companies = readCompanies(csv);
if (companies === null) {
  console.error(
    `Skipped: ${csv} is not there. The data is not part of the project; give the path of a CSV file in its form.`,
  );
} else {
  const site = await serveCompanies(companies, { ...(shape as CompanySiteOptions), port: Number(port) });
  console.log(`${companies.length} companies at ${site.url}${site.directoryPath} (Ctrl-C ends it)`);
}
