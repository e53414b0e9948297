/** Configuration from YAML files: associations, crawler, schemas. */
import { join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import type { Association } from "../domain/association.ts";
import { readAssociations } from "../domain/association.ts";
import { configError, issuesOf } from "../domain/config-issues.ts";
import { ConfigError } from "../domain/errors.ts";
import type { Schema, SchemaFile } from "../domain/schema.ts";
import { readSchemaFile, resolveSchema } from "../domain/schema.ts";
import { writeLines } from "./files.ts";
import type { YamlFile } from "./yaml.ts";
import { checked, readYamlFile } from "./yaml.ts";

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

function required(path: string): YamlFile {
  const file = readYamlFile(path);
  if (file === null) throw new ConfigError(`${path} does not exist`);
  return file;
}

/** All associations of `associations.yaml`. @throws ConfigError */
export function loadAssociations(configDir: string): Map<string, Association> {
  return checked(required(join(configDir, "associations.yaml")), readAssociations);
}

/** The crawler's settings: those of `configDir`, else the shipped ones. @throws ConfigError */
export function loadCrawler(configDir: string): CrawlerConfig {
  const shipped = required(join(DEFAULT_CONFIG_DIR, "crawler.yaml"));
  const own = readYamlFile(join(configDir, "crawler.yaml")) ?? shipped;
  const settings = checked(own, (content) => {
    const parsed = crawlerSchema.safeParse({ ...(shipped.content as object), ...(content as object) });
    if (!parsed.success) throw configError("crawler.yaml", issuesOf(parsed.error));
    return parsed.data;
  });
  const contact = process.env.ASSOCIATIONS_CONTACT;
  return contact ? { ...settings, contact } : settings;
}

/** The name we go by: product, version and where to complain. */
export function userAgentOf({ product, contact }: CrawlerConfig): string {
  return `${product} (+${contact})`;
}

/** A schema with all it inherits, from `configDir/schemas`, else the shipped ones. @throws ConfigError */
export function loadSchema(configDir: string, name: string): Schema {
  return resolveSchema(name, (wanted) => schemaFileIn(configDir, wanted));
}

/** True when there is a schema of that name. */
export function hasSchema(configDir: string, name: string): boolean {
  return schemaFileIn(configDir, name) !== null;
}

/** The file of a schema, unresolved; null where there is none. @throws ConfigError */
export function schemaFileIn(configDir: string, name: string): SchemaFile | null {
  if (!/^[A-Za-z0-9_-]+$/.test(name)) throw new ConfigError(`${name} is no name of a schema`);
  for (const folder of [configDir, DEFAULT_CONFIG_DIR]) {
    const file = readYamlFile(join(folder, "schemas", `${name}.yaml`));
    if (file !== null) return checked(file, (content) => readSchemaFile(name, content));
  }
  return null;
}

/** Stores a schema of an association's own; one that is there already is left alone. @throws ConfigError when it is there */
export async function writeSchema(configDir: string, name: string, file: SchemaFile): Promise<string> {
  const path = join(configDir, "schemas", `${name}.yaml`);
  if (readYamlFile(path) !== null) {
    throw new ConfigError(`${path} is there already`, { hint: "Remove it first, if it is to be written anew." });
  }
  await writeLines(path, [
    `# Proposed by a model, replayed and found right on pages of the directory.\n${stringify(file)}`,
  ]);
  return path;
}
