/** Requests and responses of the API: written once, used by server, command line and dashboard. */
export * as compat from "./compat.ts";
export * from "./jobs.ts";
export { openApi } from "./openapi.ts";
export { addressOf, type Operation, PARAMS, paramsOf } from "./operation.ts";
export { OPERATIONS } from "./operations.ts";
export * from "./runs.ts";
export * from "./server.ts";
export * from "./things.ts";
export * from "./words.ts";
