/**
 * The OpenAPI 3.1 description, made from the operations and their schemas.
 *
 * Owner: contract. Invariant: nothing is written here that is not in `operations.ts`; schemas with an id become components.
 */
import { z } from "zod";
import { type Operation, PARAMS, paramsOf } from "./operation.ts";
import { OPERATIONS } from "./operations.ts";
import { Problem } from "./words.ts";

type Schema = Record<string, unknown>;

const PROBLEMS: Record<string, string> = {
  "400": "The request can't be read",
  "401": "No valid token",
  "403": "The role does not allow it, or the request came from elsewhere",
  "404": "There is no such thing",
  "409": "Its state does not allow it",
  "413": "The body is too large",
  "415": "The body is not JSON",
  "422": "The request is not valid",
  "429": "Too many requests; see Retry-After",
  "503": "The ledger is busy or closed",
};

/** JSON Schema of a schema, with what has an id moved into `components`. */
function schemaOf(schema: z.ZodType, components: Record<string, Schema>): Schema {
  const { $schema: _, $defs = {}, ...own } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Schema;
  const move = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(move);
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(
      Object.entries(part)
        .filter(([key]) => key !== "id" || typeof (part as Schema)["id"] !== "string")
        .map(([key, value]) => [
          key,
          key === "$ref" && typeof value === "string"
            ? value.replace("#/$defs/", "#/components/schemas/")
            : move(value),
        ]),
    );
  };
  for (const [id, definition] of Object.entries($defs as Record<string, Schema>))
    components[id] ??= move(definition) as Schema;
  const id = own["id"];
  if (typeof id !== "string") return move(own) as Schema;
  components[id] ??= move(own) as Schema;
  return { $ref: `#/components/schemas/${id}` };
}

function parametersOf(operation: Operation, components: Record<string, Schema>): Schema[] {
  const path = paramsOf(operation.path).map((name) => ({
    name,
    in: "path",
    required: true,
    schema: schemaOf(PARAMS[name], components),
  }));
  const query = operation.query === undefined ? {} : (schemaOf(operation.query, components) as Schema);
  const required = new Set((query["required"] ?? []) as string[]);
  const fields = Object.entries((query["properties"] ?? {}) as Record<string, Schema>).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.has(name),
    schema,
  }));
  const key = {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description: "Two starts with one key are one run; the same key with another request is refused.",
    schema: { type: "string", minLength: 1, maxLength: 255 },
  };
  return [...path, ...fields, ...(operation.idempotent === true ? [key] : [])];
}

function answerOf(operation: Operation, components: Record<string, Schema>): Schema {
  if (operation.answer !== undefined)
    return {
      description: operation.summary,
      content: { "application/json": { schema: schemaOf(operation.answer, components) } },
    };
  if (operation.media === "" || operation.media === undefined) return { description: operation.summary };
  return { description: operation.summary, content: { [operation.media]: { schema: { type: "string" } } } };
}

/** The whole description. */
export function openApi(version: string): Schema {
  const components: Record<string, Schema> = {};
  const problem = {
    content: { "application/problem+json": { schema: schemaOf(Problem, components) } },
  };
  const paths: Record<string, Record<string, Schema>> = {};
  for (const operation of OPERATIONS) {
    const entry = (paths[operation.path] ??= {});
    entry[operation.method.toLowerCase()] = {
      operationId: operation.id,
      tags: [operation.tag],
      summary: operation.summary,
      description: operation.role === "open" ? "Needs no token." : `Needs the role ${operation.role}.`,
      parameters: parametersOf(operation, components),
      ...(operation.body === undefined
        ? {}
        : {
            requestBody: {
              required: true,
              content: { "application/json": { schema: schemaOf(operation.body, components) } },
            },
          }),
      responses: {
        ...Object.fromEntries(
          Object.entries(PROBLEMS).map(([status, description]) => [status, { description, ...problem }]),
        ),
        ...Object.fromEntries(
          [operation.status, ...(operation.also ?? [])].map((status) => [status, answerOf(operation, components)]),
        ),
      },
      ...(operation.role === "open" ? { security: [] } : {}),
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Tenuto", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    security: [{ bearer: [] }, { session: [] }],
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        session: { type: "apiKey", in: "cookie", name: "tenuto_session" },
      },
    },
  };
}
