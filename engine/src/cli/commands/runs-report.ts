/** `tenuto runs report`: a report on a run in any state, for people (Markdown, HTML) or programs (JSON). */
import { writeFileSync } from "node:fs";
import { extname, resolve } from "node:path";
import { EXIT } from "../failure.ts";
import type { Cli } from "../main.ts";
import { shown, withLedger } from "../project.ts";
import { factsOf } from "../report/facts.ts";
import { reportHtml } from "../report/html.ts";
import { reportMarkdown } from "../report/markdown.ts";

export interface ReportOptions {
  format?: "md" | "html" | "json";
  output?: string;
}

export async function runsReport(cli: Cli, id: string, options: ReportOptions): Promise<number> {
  const format = options.format ?? formatOf(cli, options.output);
  return await withLedger(cli, async (tenuto) => {
    const facts = await factsOf(tenuto, await tenuto.client.run(id));
    const text =
      format === "json"
        ? `${JSON.stringify({ schema: "tenuto.report/1", ...facts }, null, 2)}\n`
        : format === "html"
          ? reportHtml(facts)
          : reportMarkdown(facts);
    if (options.output === undefined) {
      cli.out.raw(text);
      return EXIT.ok;
    }
    const path = resolve(cli.io.cwd, options.output);
    writeFileSync(path, text);
    cli.out.document("report.file", { run: facts.run.id, format, file: path });
    cli.out.say(`Wrote ${shown(cli, path)}`);
    return EXIT.ok;
  });
}

function formatOf(cli: Cli, output: string | undefined): "md" | "html" | "json" {
  const ending = extname(output ?? "");
  if (ending === ".html" || ending === ".htm") return "html";
  return ending === ".json" || (cli.out.json && output === undefined) ? "json" : "md";
}
