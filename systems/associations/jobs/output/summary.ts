/** output/summary: what a run has made, in one place; the output of the run. */
import type { Context } from "tenuto";
import { z } from "zod";

const part = z.looseObject({}).nullable().default(null);

export const summaryInput = z.object({
  mode: z.string(),
  /** One association, or none where the run is over several. */
  association: z.string().default(""),
  /** Outputs of the jobs that end a mode; null where the mode left it out. */
  written: part,
  enriched: part,
  validated: part,
  /** Of a run over several: the result of each. */
  associations: z.unknown().default(null),
});

export const summaryOutput = z.looseObject({
  mode: z.string(),
  association: z.string(),
  records: z.number().nullable(),
  errors: z.number().nullable(),
});

type Input = z.infer<typeof summaryInput>;

export function summary() {
  return {
    name: "output/summary",
    description: "Brings the results of a run together",
    version: "1",
    input: summaryInput,
    output: summaryOutput,
    run: summarise,
  };
}

function summarise({ mode, association, written, enriched, validated, associations }: Input, ctx: Context) {
  const last = validated ?? enriched ?? written;
  const figure = (from: Record<string, unknown> | null, name: string) =>
    typeof from?.[name] === "number" ? from[name] : null;
  const records = figure(last, "records");
  ctx.log.info(`${mode}${association === "" ? "" : ` of ${association}`}: ${records ?? "no"} records`);
  return { mode, association, records, errors: figure(written, "errors"), written, enriched, validated, associations };
}
