/** Templates of the ledger for commands that start them, and the ledger together with the pipelines of the configuration. */
import type { Pipeline } from "../authoring/define.ts";
import type { Tenuto } from "../open.ts";
import type { Cli } from "./main.ts";
import { loadProject, openPlace, type Project, storedPipeline } from "./project.ts";

/** For `tenuto templates start`: never a file or a pipeline of the configuration. @throws not_found */
export async function chooseTemplate(
  cli: Cli,
  name: string,
  number?: number,
): Promise<{ project: Project; pipeline: Pipeline }> {
  const project = await loadProject(cli);
  const others = project.pipelines.filter((pipeline) => pipeline.document.name !== name);
  const pipeline = await storedPipeline(cli, project, name, number);
  if (pipeline !== null) return { project: { ...project, pipelines: others }, pipeline };
  // Says which there are.
  const tenuto = await openPlace(project, cli, { soon: true });
  try {
    await tenuto.templates.show(name);
  } finally {
    await tenuto.close();
  }
  return await chooseTemplate(cli, name, number);
}

/** The ledger with the pipelines of the configuration, for commands that write what names them. */
export async function withProject<T>(cli: Cli, use: (tenuto: Tenuto, project: Project) => Promise<T>): Promise<T> {
  const project = await loadProject(cli);
  const tenuto = await openPlace(project, cli, { mustExist: false, soon: true });
  try {
    return await use(tenuto, project);
  } finally {
    await tenuto.close();
  }
}
