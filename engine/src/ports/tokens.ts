/** Port: reads of the server's tokens and webhooks. Writes are changes, as everywhere. */
import type { TokenRow } from "../core/access.ts";
import type { HookRow, WebhookRow } from "../core/webhook.ts";

export interface TokenReads {
  token(id: string): Promise<TokenRow | null>;
  /** The newest first; logins and sessions that are over are left out. */
  tokens(at: number): Promise<TokenRow[]>;
  /** Logins and sessions that were over before this time. */
  tokensOver(before: number, limit: number): Promise<TokenRow[]>;
  webhook(id: string): Promise<WebhookRow | null>;
  webhooks(): Promise<WebhookRow[]>;
  incomingHook(id: string): Promise<HookRow | null>;
  incomingHooks(): Promise<HookRow[]>;
}
