/**
 * An engine in a process of its own, driven over IPC. The test process orders, kills and reads the ledger; nothing that it
 * asserts comes from this process.
 */
import { appendFileSync } from "node:fs";
import { type OpenOptions, openTenuto, type Tenuto, type TenutoError } from "tenuto";
import type { App, ChildOrders } from "./process.ts";

const orders = JSON.parse(process.argv[2] ?? "{}") as ChildOrders;
const tell = (signal: string, data: unknown = null) => {
  if (process.connected) process.send?.({ signal, data }, () => {});
};

process.on("disconnect", () => process.exit(3));

const app = (await import(orders.app)) as App;
const hooks = await app.prepare?.(orders);
const options: OpenOptions = {
  home: orders.home,
  cwd: orders.home,
  pipelines: app.pipelines(tell),
  agents: app.agents?.(tell) ?? [],
  onFault: (error) => {
    const { code, message } = error as TenutoError;
    tell("fault", { code, message });
    if (orders.faults !== undefined) appendFileSync(orders.faults, `${process.pid}\t${code}\t${message}\n`);
  },
  ...orders.open,
  ...hooks,
};
const tenuto: Tenuto = await openTenuto(options);
tell("open", { pid: process.pid, boot: tenuto.engine.worker.boot });

const commands: Record<string, (...args: any[]) => unknown> = {
  async start(pipeline: string, params: unknown, how: object) {
    const { id, seq, created } = await tenuto.start(pipeline, params, how);
    return { id, seq, created };
  },
  wait: async (id: string, timeoutMs: number) => await (await tenuto.client.attach(id)).wait({ timeoutMs }),
  cancel: (id: string, reason?: string) => tenuto.client.cancel(id, reason),
  retry: (id: string) => tenuto.client.retry(id),
  work: () => tenuto.work(),
  backup: (file: string) => tenuto.engine.parts.ledger.backup(file),
  prune: (olderThan: number) => tenuto.engine.parts.ledger.prune(olderThan, 1_000),
  boot: () => tenuto.engine.worker.boot,
  memory: () => process.memoryUsage().rss,
  async close(drainMs?: number) {
    await tenuto.close(drainMs === undefined ? {} : { drainMs });
  },
  ...app.commands?.(tenuto, tell),
};

process.on("message", ({ id, command, args }: { id: number; command: string; args: unknown[] }) => {
  const answer = async () => await commands[command]!(...args);
  answer().then(
    (value) => process.send?.({ id, value: value ?? null }, () => {}),
    (error: TenutoError) => process.send?.({ id, error: { code: error.code, message: error.message } }, () => {}),
  );
});

const onTerm = async () => {
  tell("stopping");
  await tenuto.close(orders.open?.drainMs === undefined ? {} : { drainMs: orders.open.drainMs });
  process.exit(0);
};
process.on("SIGTERM", () => void onTerm());

await app.main?.(tenuto, orders, tell);
