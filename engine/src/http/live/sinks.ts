/** How live frames travel: as server-sent events, and over a websocket with several subscriptions. */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { ClientFrame, type LogLine } from "../../contract/index.ts";
import { Buckets } from "../limits.ts";
import { HttpProblem, invalid, tellProblem } from "../problems.ts";
import type { Hub, Listener, Sink } from "./hub.ts";
import type { Frame } from "./subscription.ts";

/** Time in which a client may take what was sent before the end. */
const CLOSE_MS = 2_000;

export class EventStream implements Sink {
  private readonly response: ServerResponse;
  private readonly retryMs: number;

  constructor(response: ServerResponse, retryMs: number) {
    this.response = response;
    this.retryMs = retryMs;
  }

  /** What is refused before the first frame is answered as any other request. */
  private begin(): void {
    if (this.response.headersSent) return;
    this.response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-accel-buffering": "no",
    });
    this.response.write(`retry: ${this.retryMs}\n\n`);
  }

  send(frame: Frame, id: string): void {
    this.begin();
    this.response.write(
      `id: ${frame.cursor}\nevent: ${frame.type}\ndata: {"id":${JSON.stringify(id)},${frame.fields}}\n\n`,
    );
  }

  say(fields: Record<string, unknown>): void {
    this.begin();
    this.response.write(`event: ${String(fields["type"])}\ndata: ${JSON.stringify(fields)}\n\n`);
  }

  buffered(): number {
    return this.response.writableLength;
  }

  /** A peer that is gone shows by not reading. */
  alive(): boolean {
    return true;
  }

  close(code: number, reason: string): void {
    const last = `event: close\ndata: ${JSON.stringify({ type: "close", code, reason })}\n\n`;
    this.begin();
    if (code === 4409) this.response.destroy();
    else this.response.end(last);
    setTimeout(() => this.response.destroy(), CLOSE_MS).unref();
  }
}

/** Beats without an answer after which a peer counts as gone. */
const MISSED = 3;

export class SocketSink implements Sink {
  private readonly socket: WebSocket;
  private readonly stream: Duplex;
  private missed = 0;

  constructor(socket: WebSocket, stream: Duplex) {
    this.socket = socket;
    this.stream = stream;
    socket.on("pong", () => {
      this.missed = 0;
    });
  }

  /** One message. */
  protected text(message: string): void {
    this.socket.send(message);
  }

  send(frame: Frame, id: string): void {
    this.socket.send(`{"id":${JSON.stringify(id)},${frame.fields}}`);
  }

  say(fields: Record<string, unknown>): void {
    this.socket.send(JSON.stringify(fields));
  }

  buffered(): number {
    return Math.max(this.socket.bufferedAmount, this.stream.writableLength);
  }

  alive(): boolean {
    this.missed += 1;
    if (this.missed > MISSED) return false;
    // A ping would wait behind what the peer does not read; that it does not is seen otherwise.
    if (this.buffered() === 0 || this.missed === 1) this.socket.ping();
    return true;
  }

  close(code: number, reason: string): void {
    this.socket.close(code, reason);
    // Whoever does not read does not answer a close either.
    if (code === 4409 || code === 4408) this.socket.terminate();
    else setTimeout(() => this.socket.terminate(), CLOSE_MS).unref();
  }
}

/** The log stream of the devloop source document: each line as a text of its own, without frames. */
export class LineSink extends SocketSink {
  override send(frame: Frame): void {
    if (frame.type !== "log") return;
    const { lines } = JSON.parse(`{${frame.fields}}`) as { lines: LogLine[] };
    for (const { at, run, agent, level, message } of lines)
      this.text(`${at} | ${run} | ${agent} | ${level} | ${message}`);
  }

  /** Nothing but lines; that the other side is there is seen by pings. */
  override say(): void {}
}

/** Sends a run's lines after a number. */
export async function serveLines(listener: Listener, socket: WebSocket, run: string, after: string): Promise<void> {
  socket.on("close", () => listener.ended());
  socket.on("error", () => listener.ended());
  socket.on("message", () => listener.close(1003, "this stream takes no messages"));
  await listener.add("log", { topic: "log", run, after }).catch((error) => {
    const { problem } = tellProblem(error, "", () => {});
    listener.close(1008, problem.detail.slice(0, 100));
  });
}

const MESSAGES_PER_SECOND = 20;
const MESSAGES_AT_ONCE = 100;

/** Takes what a client asks over its websocket. */
export function serveSocket(hub: Hub, listener: Listener, socket: WebSocket): void {
  const bucket = new Buckets(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE);
  socket.on("close", () => listener.ended());
  socket.on("error", () => listener.ended());
  socket.on("message", (data, isBinary) => {
    if (isBinary) return listener.close(1003, "only text");
    if (!bucket.take("").ok) return listener.close(4429, "too many messages");
    void answer(hub, listener, String(data));
  });
}

async function answer(hub: Hub, listener: Listener, text: string): Promise<void> {
  let id: string | null = null;
  try {
    const frame = parse(text);
    if (frame.type === "ping") return listener.sink.say({ type: "heartbeat", at: new Date().toISOString() });
    id = frame.id;
    if (frame.type === "unsubscribe") return listener.remove(frame.id);
    const { type: _, id: __, ...asked } = frame;
    await listener.add(frame.id, asked);
  } catch (error) {
    const { problem } = tellProblem(error, "/api/live", hub.onFault);
    listener.sink.say({ type: "error", id, problem });
  }
}

function parse(text: string): ClientFrame {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HttpProblem(400, "malformed_json", "the frame is not JSON");
  }
  const read = ClientFrame.safeParse(value);
  if (read.success) return read.data;
  throw invalid("frame", read.error);
}
