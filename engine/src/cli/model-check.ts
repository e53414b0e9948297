/** What LLM agents need and may lack: packages and keys. For `tenuto doctor`, which says so before a run does. */
import type { Agent } from "../core/agent.ts";

export interface ModelCheck {
  agents: number;
  missing: string[];
}

/** `installed` says whether a package can be loaded. */
export function checkModels(
  agents: readonly Agent[],
  environment: Readonly<Record<string, string | undefined>>,
  installed: (name: string) => boolean = canLoad,
): ModelCheck {
  const missing = new Set<string>();
  const models = agents.filter((agent) => agent.kind === "llm");
  for (const { name, llm } of models) {
    const packages = ["ai", `@ai-sdk/${llm.model.id.split("/")[0]}`];
    if (Object.keys(llm.mcp).length > 0) packages.push("@modelcontextprotocol/client");
    for (const wanted of packages) if (!installed(wanted)) missing.add(`the package ${wanted}`);
    const variables = [
      llm.model.keyEnv,
      ...Object.values(llm.mcp).flatMap((server) => Object.values(server.headersEnv ?? {})),
    ];
    for (const variable of variables)
      if (variable !== null && (environment[variable] ?? "") === "") missing.add(`the variable ${variable} (${name})`);
  }
  return { agents: models.length, missing: [...missing] };
}

function canLoad(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}
