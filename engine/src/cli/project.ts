/**
 * Where the command line works: home, ledger, configuration, and the pipelines and agents that are known here.
 *
 * Invariants: (1) a flag goes before the environment, that before the configuration, that before the default;
 * (2) a command that only reads makes no ledger: one that is not there is `not_found`;
 * (3) the configuration's pipelines are loaded only for commands that run or list them.
 */
import { existsSync, statSync } from "node:fs";
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { bindAgents, type Pipeline, pipelineFromDocument } from "../authoring/define.ts";
import {
  type BrokenFile,
  type Config,
  type Loaded,
  loadConfig,
  loadPipelines,
  merged,
  readConfig,
} from "../authoring/load.ts";
import { TenutoError } from "../core/errors.ts";
import { didYouMean, suggest } from "../core/names.ts";
import { parseAddress } from "../ledger/postgres/address.ts";
import type { OpenOptions, Tenuto } from "../open.ts";
import { isPostgres, isUrl, ledgerExists } from "../open-ledger.ts";
import type { Cli } from "./main.ts";
import { plainText } from "./terminal.ts";

export interface Place {
  home: string;
  database: string;
  config: Config;
  /** File of the configuration; null without one. */
  configFile: string | null;
}

/** Home and ledger, without loading pipelines. */
export async function findPlace(cli: Cli): Promise<Place> {
  const { home, database, config } = cli.options;
  // The configuration is code; it is left alone when it can't matter.
  const read =
    home !== undefined && database !== undefined && config === undefined ? null : await readConfig(configPath(cli));
  return placeOf(cli, read?.config ?? {}, read?.file ?? null);
}

function configPath(cli: Cli): string {
  return resolve(cli.io.cwd, cli.options.config ?? ".");
}

function placeOf(cli: Cli, config: Config, configFile: string | null): Place {
  const { cwd, env } = cli.io;
  const base = configFile === null ? cwd : dirname(configFile);
  const home =
    cli.options.home !== undefined ? resolve(cwd, cli.options.home) : resolve(base, config.home ?? ".tenuto");
  const given = cli.options.database ?? (env.TENUTO_DATABASE || undefined);
  const chosen = given ?? config.database ?? join(home, "ledger.db");
  const database = isUrl(chosen) ? chosen : resolve(given === undefined ? base : cwd, chosen);
  return { home, database, config, configFile };
}

export interface Project extends Place, Loaded {
  /** Files that the configuration names and that can't be loaded. */
  broken: BrokenFile[];
  /** Modules in its folders that export neither a pipeline nor an agent. */
  empty: string[];
}

/** The place with all pipelines and agents of the configuration. */
export async function loadProject(cli: Cli): Promise<Project> {
  const loaded = await loadConfig(configPath(cli));
  const place = placeOf(cli, loaded?.config ?? {}, loaded?.file ?? null);
  const { pipelines = [], agents = [], broken = [], empty = [] } = loaded ?? {};
  return { ...place, pipelines, agents, broken, empty };
}

/** Says which files are left out since they can't be loaded. */
export function tellBroken(cli: Cli, { broken }: Project, without = ""): void {
  for (const { file, error } of broken) {
    if (file === without) continue;
    const [first, ...more] = plainText(error.message.trim()).split("\n");
    cli.out.tell(
      `${cli.out.paintTalk("yellow", "warning:")} left out: ${first!.includes(file) ? first! : `${shown(cli, file)}: ${first}`}`,
      ...(more.length === 0 ? [] : [`See all: tenuto templates validate ${shown(cli, file)}`]),
    );
  }
}

/** The pipeline that was meant by a name, a file, or `FILE#NAME`; and the project with whatever its file brought. */
export async function choosePipeline(cli: Cli, given: string): Promise<{ project: Project; pipeline: Pipeline }> {
  const project = await loadProject(cli);
  const known = project.pipelines.find((pipeline) => pipeline.document.name === given);
  const file = known === undefined ? fileMeant(cli.io.cwd, given) : null;
  tellBroken(cli, project, file?.path);
  if (known !== undefined) return { project, pipeline: known };
  if (file === null) {
    const meant = project.broken.find((one) => basename(one.file, extname(one.file)) === given);
    if (meant !== undefined) throw meant.error;
    const stored = await storedPipeline(cli, project, given);
    if (stored !== null) return { project, pipeline: stored };
    throw unknownPipeline(project, given);
  }
  const loaded = await loadPipelines(file.path);
  const pipeline = pickPipeline(loaded.pipelines, file);
  const others = project.pipelines.filter((other) => other.document.name !== pipeline.document.name);
  const all = merged([
    { pipelines: [pipeline], agents: loaded.agents },
    { pipelines: others, agents: [] },
  ]);
  const named = new Set(all.agents.map((agent) => agent.name));
  const agents = [...all.agents, ...project.agents.filter((agent) => !named.has(agent.name))];
  return { project: { ...project, pipelines: all.pipelines, agents }, pipeline: bindAgents(pipeline, agents) };
}

/** The template of this name, in its present version or one by number; null if the ledger has none. */
export async function storedPipeline(cli: Cli, place: Place, name: string, number?: number): Promise<Pipeline | null> {
  if (!(await ledgerExists(place.database))) return null;
  const { home, database, config, configFile } = place;
  const tenuto = await openPlace({ home, database, config, configFile }, cli);
  try {
    const known = await tenuto.templates.known(name, number);
    return known === null ? null : pipelineFromDocument(known.document);
  } finally {
    await tenuto.close();
  }
}

function fileMeant(cwd: string, given: string): { path: string; name: string | null } | null {
  const hash = given.lastIndexOf("#");
  const whole = resolve(cwd, given);
  if (hash > 0 && !existsSync(whole)) {
    return { path: resolve(cwd, given.slice(0, hash)), name: given.slice(hash + 1) };
  }
  const looksLikeFile =
    given.includes("/") || given.includes(sep) || isAbsolute(given) || /^\.(m?[jt]s|ya?ml)$/.test(extname(given));
  const isFile = statSync(whole, { throwIfNoEntry: false })?.isFile() === true;
  return looksLikeFile || isFile ? { path: whole, name: null } : null;
}

function pickPipeline(found: readonly Pipeline[], file: { path: string; name: string | null }): Pipeline {
  const names = found.map((pipeline) => pipeline.document.name);
  if (file.name !== null) {
    const named = found.find((pipeline) => pipeline.document.name === file.name);
    if (named !== undefined) return named;
    throw new TenutoError("unknown_pipeline", `${file.path} has no pipeline named ${JSON.stringify(file.name)}`, {
      hint: suggest(file.name, names, "pipeline"),
    });
  }
  if (found.length === 1) return found[0]!;
  if (found.length === 0) {
    throw new TenutoError("unknown_pipeline", `${file.path} exports agents but no pipeline`, {
      hint: "Export what definePipeline returns.",
    });
  }
  throw new TenutoError("invalid_input", `${file.path} has ${found.length} pipelines: ${names.join(", ")}`, {
    hint: `Say which one: ${file.path}#${names[0]}`,
  });
}

function unknownPipeline(project: Project, given: string): TenutoError {
  const names = project.pipelines.map((pipeline) => pipeline.document.name);
  const near = didYouMean(given, names);
  const helper = project.empty.find((file) => basename(file, extname(file)) === given);
  const hint =
    helper !== undefined
      ? `${helper} exports no pipeline: export what definePipeline returns.`
      : near !== null
        ? `Did you mean "${near}"?`
        : names.length > 0
          ? `Known: ${names.join(", ")}. A file is given by its path, for example ./${given}.ts.`
          : project.configFile === null
            ? "There is no tenuto.config.mts here: give a file, or make a project with `tenuto init`."
            : `${project.configFile} lists no pipelines: add some, or give a file.`;
  return new TenutoError("unknown_pipeline", `there is no pipeline named ${JSON.stringify(given)}`, { hint });
}

export interface HowToOpen extends Pick<OpenOptions, "concurrency" | "takes"> {
  /** Refuse to make a ledger. Default true. */
  mustExist?: boolean;
  /** Whether a person waits for the answer, who wants to know soon that the server is away. Default false. */
  soon?: boolean;
}

const SOON_MS = 2_000;

/** The engine on this place, without a worker; `tenuto.work()` starts one. @throws not_found where nothing ever ran */
export async function openPlace(place: Place & Partial<Loaded>, cli: Cli, how: HowToOpen = {}): Promise<Tenuto> {
  const { mustExist = true, soon = false, ...options } = how;
  if (mustExist && !(await ledgerExists(place.database))) {
    assertMayRead(place);
    throw new TenutoError("not_found", `there is no ledger at ${shownDatabase(cli, place.database)}`, {
      hint: "Nothing has run here yet: start with `tenuto run`, or give the place with --home or --database.",
    });
  }
  const { openTenuto } = await import("../open.ts");
  const concurrency = options.concurrency ?? place.config.concurrency;
  const { retentionDays } = place.config;
  return await openTenuto({
    ...options,
    ...(soon ? { waitMs: SOON_MS } : {}),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(retentionDays === undefined ? {} : { retentionMs: retentionDays * 86_400_000 }),
    home: place.home,
    database: place.database,
    cwd: place.configFile === null ? cli.io.cwd : dirname(place.configFile),
    pipelines: place.pipelines ?? [],
    agents: place.agents ?? [],
    work: false,
    ...(place.config.artifacts === undefined ? {} : { artifacts: place.config.artifacts }),
    ...(place.config.notifiers === undefined ? {} : { notifiers: place.config.notifiers }),
    onNotice: (text) => cli.out.say(text),
    onFault: (error) => cli.out.tell(`tenuto: ${error instanceof Error ? error.message : String(error)}`),
  });
}

/** What may not be looked into is not the same as what is not there. */
function assertMayRead({ home, database }: Place): void {
  if (isPostgres(database)) return;
  try {
    statSync(database);
  } catch (error) {
    if (!["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) return;
    throw new TenutoError("ledger_unavailable", `the home ${home} may not be read by this user`, {
      hint: "Run it as the user that owns the home, or give another one with --home.",
      cause: error,
    });
  }
}

/** The ledger of this place for reading, closed when `use` is done. */
export async function withLedger<T>(cli: Cli, use: (tenuto: Tenuto, place: Place) => Promise<T>): Promise<T> {
  const place = await findPlace(cli).catch((error) => placeInSpite(cli, error));
  const tenuto = await openPlace(place, cli, { soon: true });
  try {
    return await use(tenuto, place);
  } finally {
    await tenuto.close();
  }
}

/** A configuration that can't be loaded stands in nobody's way who only wants to read what is where it is by default. */
async function placeInSpite(cli: Cli, error: unknown): Promise<Place> {
  const configured = error instanceof TenutoError && ["invalid_definition", "invalid_config"].includes(error.code);
  const place = placeOf(cli, {}, null);
  if (!configured || !(await ledgerExists(place.database))) throw error;
  cli.out.tell(
    `${cli.out.paintTalk("yellow", "warning:")} ${error.message}`,
    ...(error.hint === undefined ? [] : [`${cli.out.paintTalk("cyan", "hint:")}    ${error.hint}`]),
    `Reading ${shownDatabase(cli, place.database)} without it.`,
  );
  return place;
}

/** A ledger as people may see it: a URL without its password. */
export function shownDatabase(cli: Cli, database: string): string {
  return isPostgres(database) ? parseAddress(database).shown : shown(cli, database);
}

/** A path as people write it: relative where that is shorter. */
export function shown(cli: Cli, path: string): string {
  const short = relative(cli.io.cwd, path);
  return short !== "" && short.length < path.length && !short.startsWith("../..") ? short : path;
}
