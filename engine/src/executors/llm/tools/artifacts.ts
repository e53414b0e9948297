/** Artifacts for a model: those that the job may read, and its own. What is not offered can't be named. */
import type { Context } from "../../../core/agent.ts";
import type { BuiltInTool } from "../../../core/llm.ts";
import type { OfferedArtifact } from "../../../ports/llm.ts";
import { bounded, checkFields, type Fields, offerOf, type Tool, ToolProblem } from "../tool.ts";

const MAX_READ = 60_000;
const MAX_SAVED = 1_000_000;
const TYPES = ["file", "model_output", "error_context", "test_results", "verification_report"] as const;

export function artifactTools(
  context: Context,
  offered: () => Promise<OfferedArtifact[]>,
): Partial<Record<BuiltInTool, Tool>> {
  const none: Fields = {};
  const reading: Fields = {
    name: { type: "string", description: "name or sha256, as list_artifacts shows it", max: 500 },
    from: { type: "integer", description: "first byte, from 0", optional: true },
  };
  const saving: Fields = {
    name: { type: "string", description: "file name", max: 200 },
    content: { type: "string", description: "the text", max: MAX_SAVED },
    type: { type: "string", description: "what it is; default file", optional: true, choices: TYPES },
  };
  return {
    list_artifacts: {
      offer: offerOf("list_artifacts", "Lists the artifacts of earlier jobs that this job may read.", none),
      check: (input) => checkFields(input, none),
      work: async () => {
        const list = await offered();
        if (list.length === 0) return "(none)";
        return list
          .map(({ name, type, job, sha256, bytes }) =>
            [name, type, `${bytes} bytes`, job === null ? "from the input" : `from ${job}`, sha256.slice(0, 16)].join(
              "  ",
            ),
          )
          .join("\n");
      },
    },
    read_artifact: {
      offer: offerOf("read_artifact", `Reads a text artifact, at most ${MAX_READ} bytes at once.`, reading),
      check: (input) => checkFields(input, reading),
      work: async (args) => {
        const name = String(args["name"]);
        const found = (await offered()).filter(
          (each) => each.name === name || (name.length >= 8 && each.sha256.startsWith(name.replace(/^sha256:/, ""))),
        );
        if (found.length === 0) throw new ToolProblem(`no artifact ${name} is offered to this job`);
        const hashes = new Set(found.map(({ sha256 }) => sha256));
        if (hashes.size > 1) throw new ToolProblem(`${found.length} artifacts have the name ${name}; use the sha256`);
        return await readPart(context, found[0]!, Number(args["from"] ?? 0));
      },
    },
    save_artifact: {
      offer: offerOf("save_artifact", "Stores a text as an artifact of this job.", saving),
      check: (input) => checkFields(input, saving),
      trusted: true,
      work: async (args) => {
        const name = String(args["name"]);
        if (!/^[A-Za-z0-9][A-Za-z0-9._ -]*$/.test(name))
          throw new ToolProblem(
            "a name has letters, digits, spaces, '.', '_' and '-', and begins with a letter or digit",
          );
        const type = String(args["type"] ?? "file");
        const saved = await context.artifact(name, String(args["content"]), { type, mediaType: "text/plain" });
        return `saved ${name} (${saved.bytes} bytes) as ${saved.$artifact}`;
      },
    },
  };
}

async function readPart(context: Context, artifact: OfferedArtifact, from: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let at = 0;
  for await (const chunk of context.readArtifact({ $artifact: `sha256:${artifact.sha256}` } as never)) {
    const start = Math.max(0, from - at);
    const end = Math.min(chunk.length, from + MAX_READ - at);
    if (end > start) parts.push(chunk.slice(start, end));
    at += chunk.length;
    // The rest is read too: an object is verified only when it has come whole.
  }
  if (from > 0 && from >= at) throw new ToolProblem(`${artifact.name} has ${at} bytes`);
  const bytes = Buffer.concat(parts);
  if (bytes.includes(0)) throw new ToolProblem(`${artifact.name} is not a text`);
  const text = bytes.toString("utf8");
  const left = at - from - bytes.length;
  return left > 0
    ? `${bounded(text, MAX_READ)}\n[${left} more bytes; read on with from: ${from + bytes.length}]`
    : text;
}
