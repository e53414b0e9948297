/** Wires templates and schedules to an engine. For open.ts; it knows the calendar, which the runtime does not. */
import { createCalendar } from "./calendar/cron.ts";
import { TenutoError } from "./core/errors.ts";
import type { RunHandle, StartOptions } from "./runtime/client.ts";
import type { Engine } from "./runtime/engine.ts";
import type { KnownPipeline } from "./runtime/parts.ts";
import { Schedules } from "./runtime/schedules.ts";
import { Templates } from "./runtime/templates.ts";

/** Starts with every check that a start by hand goes through. */
export type Start = (pipeline: KnownPipeline, params: unknown, options?: StartOptions) => Promise<RunHandle>;

export interface Named {
  templates: Templates;
  schedules: Schedules;
  /** A pipeline of this process, or else the present version of a template. @throws unknown_pipeline */
  pipeline(name: string): Promise<KnownPipeline>;
}

export function addSchedules(engine: Engine, cwd: string, start: Start): Named {
  const templates = new Templates(engine.parts, cwd);
  const find = async (name: string) => {
    const known = engine.definitions.named(name);
    if (known !== undefined) return { pipeline: known, template: false };
    const template = await templates.known(name);
    return template === null ? null : { pipeline: template, template: true };
  };
  const names = async () => [
    ...engine.definitions.list().map((one) => one.document.name),
    ...(await templates.list()).map((one) => one.id),
  ];
  const schedules = new Schedules(engine.parts, {
    calendar: createCalendar(),
    find,
    names,
    check: (pipeline, params, options) => engine.client.check(pipeline, params, options),
    start: (pipeline, params, options) => start(pipeline, params, options),
  });
  engine.services.push(schedules);
  return {
    templates,
    schedules,
    pipeline: async (name) => {
      const found = await find(name);
      if (found !== null) return found.pipeline;
      // Says what there is.
      const stored = await templates.list();
      if (stored.length === 0) return engine.definitions.pipeline(name);
      throw new TenutoError("unknown_pipeline", `there is no pipeline or template named ${JSON.stringify(name)}`, {
        hint: `Known: ${(await names()).join(", ")}.`,
      });
    },
  };
}
