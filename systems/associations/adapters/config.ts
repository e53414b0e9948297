/** Configuration from YAML files: associations, crawler, schemas. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { Association } from "../domain/association.ts";
import { readAssociations } from "../domain/association.ts";
import { ConfigError } from "../domain/errors.ts";
import type { Schema, SchemaFile } from "../domain/schema.ts";
import { readSchemaFile, resolveSchema } from "../domain/schema.ts";

/** The configuration shipped with this system. */
export const DEFAULT_CONFIG_DIR = join(import.meta.dirname, "..", "config");

const crawlerSchema = z.strictObject({
  product: z.string().regex(/^[A-Za-z][\w-]*\/[\w.]+$/),
  contact: z.string().min(3),
  timeout_seconds: z.number().positive(),
  max_bytes: z.number().int().positive(),
  max_redirects: z.number().int().min(0).max(20),
  directory_patterns: z.array(z.string().startsWith("/")),
});

export type CrawlerConfig = z.infer<typeof crawlerSchema>;

function readYaml(path: string): unknown {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    const missing = (error as { code?: string }).code === "ENOENT";
    throw new ConfigError(`${path} ${missing ? "does not exist" : `cannot be read: ${(error as Error).message}`}`, {
      cause: error,
    });
  }
}

/** All associations of `associations.yaml`. @throws ConfigError */
export function loadAssociations(configDir: string): Map<string, Association> {
  return readAssociations(readYaml(join(configDir, "associations.yaml")));
}

/** The crawler's settings: those of `configDir`, else the shipped ones. @throws ConfigError */
export function loadCrawler(configDir: string): CrawlerConfig {
  const own = readIfPresent(join(configDir, "crawler.yaml"));
  const shipped = readYaml(join(DEFAULT_CONFIG_DIR, "crawler.yaml")) as object;
  const parsed = crawlerSchema.safeParse({ ...shipped, ...(own as object | null) });
  if (!parsed.success) throw new ConfigError(`crawler.yaml: ${z.prettifyError(parsed.error)}`);
  const contact = process.env.ASSOCIATIONS_CONTACT;
  return contact ? { ...parsed.data, contact } : parsed.data;
}

/** The name we go by: product, version and where to complain. */
export function userAgentOf({ product, contact }: CrawlerConfig): string {
  return `${product} (+${contact})`;
}

/** A schema with all it inherits, from `configDir/schemas`, else the shipped ones. @throws ConfigError */
export function loadSchema(configDir: string, name: string): Schema {
  return resolveSchema(name, (wanted) => schemaFile(configDir, wanted));
}

/** True when there is a schema of that name. */
export function hasSchema(configDir: string, name: string): boolean {
  return schemaFile(configDir, name) !== null;
}

function schemaFile(configDir: string, name: string): SchemaFile | null {
  if (!/^[A-Za-z0-9_-]+$/.test(name)) throw new ConfigError(`${name} is no name of a schema`);
  for (const folder of [configDir, DEFAULT_CONFIG_DIR]) {
    const content = readIfPresent(join(folder, "schemas", `${name}.yaml`));
    if (content !== null) return readSchemaFile(name, content);
  }
  return null;
}

function readIfPresent(path: string): unknown {
  try {
    return parse(readFileSync(path, "utf8")) ?? {};
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw new ConfigError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
