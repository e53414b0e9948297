/** `tenuto agents list` */
import { EXIT } from "../failure.ts";
import type { Cli } from "../main.ts";
import { loadProject, tellBroken } from "../project.ts";
import { table } from "../table.ts";
import { oneLine } from "../terminal.ts";

export async function agentsList(cli: Cli): Promise<number> {
  const { out } = cli;
  const project = await loadProject(cli);
  tellBroken(cli, project);
  const all = new Map(
    [...project.agents, ...project.pipelines.flatMap((pipeline) => pipeline.agents)].map((agent) => [
      agent.name,
      agent,
    ]),
  );
  const agents = [...all.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((agent) => ({
      name: agent.name,
      kind: agent.kind,
      version: agent.version ?? null,
      isolation: agent.kind === "function" ? (agent.isolation ?? "none") : agent.kind === "llm" ? "none" : "process",
      description: agent.description ?? null,
      pipelines: project.pipelines
        .filter(
          ({ document, agents: own }) =>
            own.some((each) => each.name === agent.name) ||
            document.stages.some((stage) => stage.jobs.some((job) => job.agent === agent.name)),
        )
        .map(({ document }) => document.name),
    }));
  out.document("agents", { agents });
  if (agents.length === 0) {
    out.say(
      project.configFile === null
        ? "There is no tenuto.config.mts here; `tenuto init` writes one."
        : `${project.configFile} knows no agents.`,
    );
    return EXIT.ok;
  }
  const rows = agents.map((agent) => [
    agent.name,
    agent.kind,
    agent.version ?? "-",
    agent.pipelines.join(", "),
    oneLine(agent.description ?? ""),
  ]);
  out.data(
    ...table(
      [
        { title: "AGENT" },
        { title: "KIND" },
        { title: "VERSION" },
        { title: "PIPELINES", shrink: true },
        { title: "WHAT IT DOES", shrink: true },
      ],
      rows,
      out.paint,
      out.width,
    ),
  );
  return EXIT.ok;
}
