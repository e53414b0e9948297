/** `tenuto templates push|list|show|versions|start|remove`: pipelines kept in the ledger. */
import type { PipelineDocument } from "../../core/document.ts";
import { time } from "../documents.ts";
import { EXIT } from "../failure.ts";
import { counted, parseCount, stamp } from "../figures.ts";
import type { Cli } from "../main.ts";
import { choosePipeline, withLedger } from "../project.ts";
import { chooseTemplate, withProject } from "../stored.ts";
import { table } from "../table.ts";
import { oneLine } from "../terminal.ts";
import { type RunOptions, runPipeline } from "./run.ts";

export async function templatesPush(cli: Cli, given: string, options: { note?: string }): Promise<number> {
  const { pipeline } = await choosePipeline(cli, given);
  return await withProject(cli, async ({ templates }) => {
    const pushed = await templates.push(pipeline.document, options);
    cli.out.document("template.pushed", pushed);
    cli.out.data(
      pushed.changed
        ? `Template ${pushed.name} has version ${pushed.number} now (${pushed.version.slice(0, 12)})`
        : `Template ${pushed.name} is at version ${pushed.number} already; nothing has changed`,
    );
    return EXIT.ok;
  });
}

export async function templatesList(cli: Cli): Promise<number> {
  return await withLedger(cli, async ({ templates }) => {
    const rows = await templates.list();
    cli.out.document("templates", {
      templates: rows.map((row) => ({
        name: row.id,
        number: row.number,
        version: row.version,
        description: row.description,
        stages: row.stages,
        jobs: row.jobs,
        schedules: row.schedules,
        updatedAt: time(row.updatedAt),
      })),
    });
    if (rows.length === 0) cli.out.say("No template is stored: tenuto templates push FILE.");
    else
      cli.out.data(
        ...table(
          [
            { title: "TEMPLATE" },
            { title: "VERSION", align: "right" },
            { title: "STAGES", align: "right" },
            { title: "JOBS", align: "right" },
            { title: "SCHEDULES", align: "right" },
            { title: "PUSHED" },
            { title: "WHAT IT DOES", shrink: true },
          ],
          rows.map((row) => [
            row.id,
            String(row.number),
            String(row.stages),
            String(row.jobs),
            String(row.schedules),
            stamp(row.updatedAt),
            oneLine(row.description ?? ""),
          ]),
          cli.out.paint,
          cli.out.width,
        ),
      );
    return EXIT.ok;
  });
}

export async function templatesShow(cli: Cli, name: string, options: { number?: string }): Promise<number> {
  return await withLedger(cli, async ({ templates }) => {
    const template = await templates.show(name, numberOf(options.number));
    const { document, at, ...facts } = template;
    cli.out.document("template", { ...facts, at: time(at), document });
    const state = template.present ? "" : ", not the present one";
    cli.out.data(
      `${name} version ${template.number} (${template.version.slice(0, 12)})${state}, pushed ${stamp(at)}`,
      ...(template.note === null ? [] : [`Note    ${oneLine(template.note)}`]),
      ...(document.description === undefined ? [] : [oneLine(document.description)]),
      ...structure(document),
    );
    return EXIT.ok;
  });
}

/** Stages and jobs of a document, as `tenuto run --dry-run` shows them. */
export function structure(document: PipelineDocument): string[] {
  return document.stages.flatMap((stage, index) => [
    "",
    `Phase ${index + 1} of ${document.stages.length}: ${stage.name}`,
    ...stage.jobs.map((job) => {
      const needs = job.needs?.map((need) => (need.on === "success" ? need.job : `${need.job} (${need.on})`));
      const waits = needs === undefined ? "" : needs.length === 0 ? "  starts at once" : `  needs ${needs.join(", ")}`;
      return `  ${job.id}  ${job.agent}${waits}${job.afterStage === true ? "  after the stage before" : ""}`;
    }),
  ]);
}

export async function templatesVersions(cli: Cli, name: string): Promise<number> {
  return await withLedger(cli, async ({ templates }) => {
    const rows = await templates.versions(name);
    cli.out.document("template.versions", {
      name,
      versions: rows.map(({ number, version, note, at }) => ({ number, version, note, at: time(at) })),
    });
    cli.out.data(
      ...table(
        [{ title: "VERSION", align: "right" }, { title: "HASH" }, { title: "PUSHED" }, { title: "NOTE", shrink: true }],
        rows.map((row) => [String(row.number), row.version.slice(0, 12), stamp(row.at), oneLine(row.note ?? "")]),
        cli.out.paint,
        cli.out.width,
      ),
    );
    return EXIT.ok;
  });
}

export async function templatesStart(
  cli: Cli,
  name: string,
  options: RunOptions & { number?: string },
): Promise<number> {
  const number = numberOf(options.number);
  return await runPipeline(cli, name, options, {}, () => chooseTemplate(cli, name, number));
}

export async function templatesRemove(cli: Cli, name: string): Promise<number> {
  return await withLedger(cli, async ({ templates }) => {
    const row = await templates.remove(name);
    cli.out.document("template.removed", { name: row.id, number: row.number });
    cli.out.data(`Template ${row.id} is removed; runs of its ${counted(row.number, "version")} keep their definition`);
    return EXIT.ok;
  });
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseCount(text, "--number");
}
