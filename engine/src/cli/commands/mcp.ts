/**
 * `tenuto mcp`: an MCP server over standard input and output.
 *
 * Started by a job (TENUTO_URL and TENUTO_TOKEN are set) it offers what that job may do, otherwise the ledger of this place.
 */
import { TenutoError } from "../../core/errors.ts";
import type { Json } from "../../core/model.ts";
import { optional } from "../../executors/llm/packages.ts";
import { contentTools } from "../../mcp/content-tools.ts";
import type { McpHost } from "../../mcp/host.ts";
import { jobTools } from "../../mcp/job-tools.ts";
import { runTools } from "../../mcp/run-tools.ts";
import { serveTools } from "../../mcp/server.ts";
import type { Tool } from "../../mcp/tool.ts";
import { systemClock, type Tenuto } from "../../open.ts";
import { EXIT, usage } from "../failure.ts";
import { Interrupts } from "../interrupt.ts";
import { othersWork } from "../known-agents.ts";
import type { Cli } from "../main.ts";
import { addSources, openForWork, openRuns } from "../open-runs.ts";
import { TENUTO_VERSION } from "../version.ts";
import { post } from "./spawn.ts";

export interface McpOptions {
  readOnly?: boolean;
  work?: boolean;
  pipeline?: string[];
}

const LEDGER_TALK =
  "Durable pipelines: list_pipelines and start_run begin work, watch_run waits for it, show_run, read_logs and read_artifact say what came of it. A run that waits for a person's decision goes on after decide_approval.";
const JOB_TALK =
  "You are a job of a pipeline's run. spawn_job adds a job to this run as far as this job may, and waits for it.";

export async function mcp(cli: Cli, options: McpOptions): Promise<number> {
  if (cli.options.json === true)
    throw usage("mcp speaks its protocol on stdout; --json has no meaning here", "Leave it out.");
  const modules = {
    mcp: await optional("@modelcontextprotocol/server", () => import("@modelcontextprotocol/server")),
    stdio: await optional("@modelcontextprotocol/server", () => import("@modelcontextprotocol/server/stdio")),
  };
  const { TENUTO_URL: url, TENUTO_TOKEN: token } = cli.io.env;
  const serve = (tools: readonly Tool[], instructions: string) =>
    untilOver(cli, () =>
      serveTools(modules, {
        name: "tenuto",
        version: TENUTO_VERSION,
        instructions,
        tools,
        onError: (error) => cli.out.tell(`tenuto: ${error.message}`),
      }),
    );
  if (url !== undefined && token !== undefined) {
    if (options.work === true) throw usage("a job can't work on the ledger", "Leave --work out.");
    const call = async (path: string, body: { [key: string]: Json }) =>
      (await post(url, token, path, JSON.stringify(body))) as Json;
    return await serve(jobTools({ call, after }), JOB_TALK);
  }
  if (options.work === true && options.readOnly === true)
    throw usage("--work and --read-only contradict each other", "Keep one of them.");
  const place = await openForWork(cli, options.pipeline === undefined ? {} : { pipeline: options.pipeline }, false);
  const { tenuto } = place;
  try {
    if (options.work === true) {
      await addSources(place, await openRuns(tenuto));
      await tenuto.work();
    }
    const host = hostOf(tenuto, options.work === true);
    const tools = [...runTools(host), ...contentTools(host)].filter((tool) => options.readOnly !== true || tool.reads);
    return await serve(tools, LEDGER_TALK);
  } finally {
    await tenuto.close();
  }
}

function after(ms: number, callback: () => void): () => void {
  const timer = systemClock.after(ms, callback);
  return () => timer.cancel();
}

function hostOf(tenuto: Tenuto, works: boolean): McpHost {
  const { engine } = tenuto;
  const { ledger } = engine.parts;
  return {
    client: tenuto.client,
    ledger,
    store: tenuto.store,
    logs: engine.parts.logs,
    start: (pipeline, params, how) => tenuto.start(pipeline, params, how),
    pipelines: () => engine.definitions.list(),
    templates: () => tenuto.templates.list(),
    template: (name) => tenuto.templates.known(name),
    works: async () => works || (await othersWork(tenuto)),
    onChange: (listener) => {
      const offs = [ledger.onCommit(listener), ledger.onForeignWrite(listener)];
      return () => {
        for (const off of offs) off();
      };
    },
    after,
  };
}

/** Serves until the client goes away or somebody stops it. */
async function untilOver(cli: Cli, begin: () => () => Promise<void>): Promise<number> {
  if (cli.io.stdout.isTTY)
    throw new TenutoError("invalid_input", "tenuto mcp is started by an MCP client, which speaks to it over a pipe", {
      hint: 'Give your client the command "npx" with the arguments "tenuto", "mcp".',
    });
  const interrupts = new Interrupts(cli.io);
  const gone = new Promise<null>((resolve) => {
    process.stdin.once("end", () => resolve(null));
    process.stdin.once("close", () => resolve(null));
  });
  const stop = begin();
  try {
    const signal = await Promise.race([gone, interrupts.first]);
    return signal === null ? EXIT.ok : EXIT[signal];
  } finally {
    interrupts.stop();
    await stop();
  }
}
