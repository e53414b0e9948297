/** The HTTP server as a library: `startServer` beside an open Tenuto. */
export type { Backend, Features } from "./backend.ts";
export { LIMITS, type ServerLimits } from "./limits.ts";
export { secretsOf } from "./mask.ts";
export { type Server, type ServerOptions, startServer } from "./server.ts";
export { Access, type Minted, type Principal } from "./tokens.ts";
