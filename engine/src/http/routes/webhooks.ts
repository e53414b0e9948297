/** Webhooks out: where messages go, what was sent. Hooks in: signed messages that start runs. */
import { isIP } from "node:net";
import { allows } from "../../core/access.ts";
import type { DeliveryRow } from "../../core/delivery.ts";
import { TenutoError } from "../../core/errors.ts";
import type { Json } from "../../core/model.ts";
import { expand } from "../../core/placeholders.ts";
import {
  dropWebhook,
  type HookRow,
  putWebhook,
  resendDelivery,
  rotateWebhook,
  type WebhookRow,
  webhookNotifier,
} from "../../core/webhook.ts";
import { parseJson } from "../body.ts";
import type { Call, Handlers, Services } from "../call.ts";
import { HttpProblem } from "../problems.ts";
import { json, time } from "../shapes.ts";
import type { Principal } from "../tokens.ts";
import { verifySigned } from "../webhooks/secrets.ts";
import { pipelineNamed, start } from "./runs.ts";

/** Of an address, what those may see who can't change it: paths of receivers often are their secrets. */
function shownUrl(url: string, { role }: Principal): string {
  if (allows(role, "admin")) return url;
  const { origin, pathname, search } = new URL(url);
  return pathname === "/" && search === "" ? url : `${origin}/...`;
}

function webhookShape({ services, principal }: Call, row: WebhookRow, withSecret: boolean) {
  const { secrets } = services;
  return {
    id: row.id,
    url: shownUrl(row.url, principal),
    occasions: JSON.parse(row.occasions) as string[],
    pipeline: row.pipeline,
    intervalSeconds: row.intervalMs / 1_000,
    enabled: row.enabled === 1,
    createdAt: time(row.createdAt),
    updatedAt: time(row.updatedAt),
    ...(withSecret ? { secret: secrets.secret("webhook", row.id, row.secretVersion) } : {}),
  };
}

function hookShape({ secrets }: Services, row: HookRow, withSecret: boolean) {
  return {
    id: row.id,
    path: `/hooks/${row.id}`,
    pipeline: row.pipeline,
    params: json(row.params),
    enabled: row.enabled === 1,
    createdAt: time(row.createdAt),
    updatedAt: time(row.updatedAt),
    ...(withSecret ? { secret: secrets.secret("hook", row.id, row.secretVersion) } : {}),
  };
}

const deliveryShape = (row: DeliveryRow, webhook: string) => ({
  id: row.id,
  webhook,
  occasion: row.occasion,
  state: row.state,
  attempts: row.attempts,
  error: row.error,
  message: json(row.message),
  createdAt: time(row.createdAt),
  dueAt: time(row.dueAt),
  endedAt: time(row.endedAt),
});

async function webhookOf({ services, params }: Call): Promise<WebhookRow> {
  const row = await services.ledger.webhook(params["webhook"]);
  if (row !== null) return row;
  throw new TenutoError("not_found", `there is no webhook ${JSON.stringify(params["webhook"])}`);
}

/** Empty is that of the scheme. */
const WEB_PORTS = new Set(["", "80", "443", "8080", "8443"]);

/** Addresses that are written as such are refused here already; names are looked at when they are resolved. */
function checkUrl({ features }: Services, text: string): void {
  const url = new URL(text);
  if (url.username !== "" || url.password !== "")
    throw new HttpProblem(422, "invalid_input", "the URL must not hold a name or password");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const local = /(^|\.)localhost\.?$/.test(host.toLowerCase());
  if (local || (isIP(host) !== 0 && features.isPrivate?.(host) !== false))
    throw new HttpProblem(422, "private_address", `${host} is an address of a private network`, {
      hint: "Messages to private networks are configured on the machine: notifiers in tenuto.config, with allowPrivate.",
    });
  if (!WEB_PORTS.has(url.port) && features.anyPort !== true)
    throw new HttpProblem(422, "port_refused", `messages are not sent to port ${url.port}`, {
      hint: "Ports 80, 443, 8080 and 8443 are possible; others are configured on the machine: notifiers in tenuto.config.",
    });
}

async function receive(call: Call) {
  const { services, params, bytes } = call;
  const row = await services.ledger.incomingHook(params["hook"]);
  const off = new HttpProblem(
    401,
    "signature_refused",
    "there is no such hook, or it is not enabled, or the signature does not fit",
    {
      hint: "See GET /api/hooks for what there is.",
    },
  );
  if (row === null || row.enabled === 0) throw off;
  const signed = {
    id: call.header("webhook-id"),
    timestamp: call.header("webhook-timestamp"),
    signatures: call.header("webhook-signature"),
  };
  const id = verifySigned(signed, bytes, services.secrets.secrets("hook", row, services.now()), services.now());
  const body = parseJson(bytes) as Json;
  const values = expand(json(row.params), { params: { body } }, `params of hook ${row.id}`);
  const pipeline = await pipelineNamed(services, { pipeline: row.pipeline });
  const handle = await start(services, pipeline, values, {
    idempotencyKey: `hook:${row.id}:${id}`,
    labels: { hook: row.id },
  });
  return {
    json: { id: handle.id, created: handle.created, queuedBehind: handle.queuedBehind },
    status: handle.created ? 202 : 200,
  };
}

export const webhookHandlers: Handlers = {
  listWebhooks: async (call) => ({
    json: { items: (await call.services.ledger.webhooks()).map((row) => webhookShape(call, row, false)) },
  }),
  putWebhook: async (call) => {
    const { services, params, body } = call;
    const { url, occasions, pipeline = null, intervalSeconds, enabled } = body;
    checkUrl(services, url);
    const id = params["webhook"] as string;
    const before = await services.ledger.webhook(id);
    const row = await services.ledger.apply(
      putWebhook(
        "webhook",
        {
          id,
          url,
          occasions: JSON.stringify(occasions),
          pipeline,
          intervalMs: intervalSeconds * 1_000,
          enabled: enabled ? 1 : 0,
        },
        before === null,
      ),
    );
    await services.features.webhooksChanged?.();
    return { json: webhookShape(call, row, before === null) };
  },
  rotateWebhook: async (call) => {
    const { id } = await webhookOf(call);
    const row = await call.services.ledger.apply(rotateWebhook("webhook", id));
    await call.services.features.webhooksChanged?.();
    return { json: webhookShape(call, row, true) };
  },
  removeWebhook: async (call) => {
    await call.services.ledger.apply(dropWebhook("webhook", call.params["webhook"]));
    await call.services.features.webhooksChanged?.();
    return { empty: true };
  },
  listDeliveries: async (call) => {
    const { id } = await webhookOf(call);
    const rows = await call.services.ledger.deliveries({ notifier: webhookNotifier(id), ...call.query });
    return { json: { items: rows.map((row) => deliveryShape(row, id)), next: null } };
  },
  resendDelivery: async (call) => {
    const { id } = await webhookOf(call);
    const delivery = await call.services.ledger.delivery(call.params["delivery"]);
    if (delivery === null || delivery.notifier !== webhookNotifier(id))
      throw new TenutoError("not_found", `webhook ${id} has no delivery ${JSON.stringify(call.params["delivery"])}`);
    await call.services.ledger.apply(resendDelivery(delivery.id));
    await call.services.features.webhooksChanged?.();
    return { json: { id: delivery.id }, status: 202 };
  },
  listHooks: async ({ services }) => ({
    json: { items: (await services.ledger.incomingHooks()).map((row) => hookShape(services, row, false)) },
  }),
  putHook: async ({ services, params, body }) => {
    const id = params["hook"] as string;
    const before = await services.ledger.incomingHook(id);
    await pipelineNamed(services, { pipeline: body.pipeline });
    const { pipeline, enabled } = body;
    const fresh = { id, pipeline, params: JSON.stringify(body.params), enabled: enabled ? (1 as const) : (0 as const) };
    const row = await services.ledger.apply(putWebhook("hook", fresh, before === null));
    return { json: hookShape(services, row, before === null) };
  },
  rotateHook: async ({ services, params }) => ({
    json: hookShape(services, await services.ledger.apply(rotateWebhook("hook", params["hook"])), true),
  }),
  removeHook: async ({ services, params }) => {
    await services.ledger.apply(dropWebhook("hook", params["hook"]));
    return { empty: true };
  },
  receiveHook: receive,
};
