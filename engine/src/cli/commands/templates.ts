/** `tenuto templates validate`: checks a file as `tenuto run` would, and starts nothing. */
import { resolve } from "node:path";
import { loadPipelines } from "../../authoring/load.ts";
import { planOf } from "../../core/plan.ts";
import { EXIT } from "../failure.ts";
import { counted } from "../figures.ts";
import { agentHint, agentsOf, missingAgents } from "../known-agents.ts";
import type { Cli } from "../main.ts";
import { loadProject } from "../project.ts";

export async function templatesValidate(cli: Cli, file: string): Promise<number> {
  const { pipelines, agents } = await loadPipelines(resolve(cli.io.cwd, file));
  const found = pipelines.map(({ document, version }) => ({
    name: document.name,
    version,
    stages: document.stages.length,
    jobs: document.stages.reduce((sum, stage) => sum + stage.jobs.length, 0),
  }));
  const project = await loadProject(cli).catch(() => ({ agents: [], pipelines: [] }));
  const known = agentsOf({ agents }, ...pipelines, project, ...project.pipelines);
  const warnings = pipelines.flatMap(({ document }) =>
    missingAgents(planOf(document), known).map((agent) => ({
      pipeline: document.name,
      agent,
      message: `pipeline ${document.name} needs agent ${agent}, which is not known here`,
      hint: agentHint(agent, known),
    })),
  );
  cli.out.document("validation", {
    file,
    valid: true,
    pipelines: found,
    agents: agents.map((agent) => agent.name),
    warnings,
  });
  for (const each of found)
    cli.out.data(
      `valid  ${each.name}  ${counted(each.jobs, "job")} in ${counted(each.stages, "stage")}  version ${each.version.slice(0, 12)}`,
    );
  if (agents.length > 0)
    cli.out.data(`valid  ${counted(agents.length, "agent")}: ${agents.map((agent) => agent.name).join(", ")}`);
  for (const { message, hint } of warnings)
    cli.out.tell(
      `${cli.out.paintTalk("yellow", "warning:")} ${message}`,
      `${cli.out.paintTalk("cyan", "hint:")}    ${hint}`,
    );
  return EXIT.ok;
}
