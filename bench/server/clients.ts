/** The clients of the server's figures, in a process of their own. */
import { Agent, request } from "node:http";
import { WebSocket } from "ws";
import type { Latencies } from "./run.ts";

interface Requests {
  task: "requests";
  url: string;
  token: string;
  path: string;
  clients: number;
  seconds?: number;
  /** Of each client, instead of a time. */
  requests?: number;
  body?: object;
}

interface Streams {
  task: "streams";
  url: string;
  token: string;
  clients: number;
  stuck: number;
  seconds: number;
}

function summary(values: number[], seconds: number): Latencies {
  const sorted = values.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1), perSecond: sorted.length / seconds };
}

function once(task: Requests, agent: Agent): Promise<void> {
  const { url, token, path, body } = task;
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: hostname,
        port,
        path,
        agent,
        method: body === undefined ? "GET" : "POST",
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
      },
      (answer) => {
        answer.resume();
        answer.on("end", () =>
          (answer.statusCode ?? 500) < 300 ? resolve() : reject(new Error(`${path} answered ${answer.statusCode}`)),
        );
      },
    );
    asked.on("error", reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function requests(task: Requests): Promise<Latencies> {
  const agent = new Agent({ keepAlive: true, maxSockets: task.clients });
  await once(task, agent);
  const values: number[] = [];
  const begin = performance.now();
  const until = begin + (task.seconds ?? 600) * 1_000;
  const client = async () => {
    for (let n = 0; n < (task.requests ?? Number.POSITIVE_INFINITY) && performance.now() < until; n++) {
      const from = performance.now();
      await once(task, agent);
      values.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: task.clients }, client));
  agent.destroy();
  return summary(values, (performance.now() - begin) / 1_000);
}

async function streams(task: Streams): Promise<Latencies> {
  const values: number[] = [];
  const sockets = Array.from({ length: task.clients }, (_, n) => {
    const socket = new WebSocket(`${task.url.replace("http", "ws")}/api/live`, {
      headers: { authorization: `Bearer ${task.token}` },
    });
    socket.on("error", () => {});
    socket.on("open", () => {
      // Those that stop reading ask for everything from the beginning, over and over, to be sent as much as possible.
      for (let id = 0; id < (n < task.stuck ? 20 : 1); id++)
        socket.send(
          JSON.stringify({ type: "subscribe", id: `s${id}`, topic: "all", ...(n < task.stuck ? { after: "0" } : {}) }),
        );
      if (n < task.stuck) socket.pause();
    });
    socket.on("message", (data) => {
      if (n < task.stuck) return;
      const now = Date.now();
      const frame = JSON.parse(String(data)) as { type: string; events?: { at: string }[] };
      for (const event of frame.events ?? []) values.push(now - Date.parse(event.at));
    });
    return socket;
  });
  await new Promise((over) => setTimeout(over, task.seconds * 1_000));
  for (const socket of sockets) socket.terminate();
  return summary(values, task.seconds);
}

process.once("message", (task: Requests | Streams) => {
  const work = task.task === "requests" ? requests(task) : streams(task);
  void work.then((answer) => process.send?.(answer));
});
