/**
 * One websocket for all that is followed live. It reconnects by itself and goes on at the last cursor of each subscription.
 *
 * Invariants: (1) twice a second something is asked, and a silence is said before two seconds are over; (2) after a break each
 * follower is told, so that it reads its present state anew; (3) one frame is handled after the other in their order.
 */
import { useSyncExternalStore } from "react";
import { hearClock } from "../parts/time.tsx";
import type { ServerFrame } from "./client.ts";

export type Connection = "connecting" | "live" | "stale" | "lost";

export interface Asked {
  topic: "all" | "runs" | "run" | "job" | "log";
  run?: string;
  job?: string;
  level?: "INFO" | "WARNING" | "ERROR";
  after?: string;
}

export interface Follower {
  onFrame(frame: Extract<ServerFrame, { id: string }>): void;
  /** What was seen may be old: after a break, or when the server can't go on where it was. */
  onGap?(): void;
}

const ASK_MS = 500;
const SILENT_MS = 1_400;
const DEAD_MS = 8_000;
const BACKOFF = [250, 500, 1_000, 2_000, 4_000];

class Live {
  private socket: WebSocket | null = null;
  private followers = new Map<string, { asked: Asked; follower: Follower }>();
  private watchers = new Set<() => void>();
  private state: Connection = "connecting";
  private heardAt = 0;
  private tries = 0;
  private counter = 0;
  private begun = false;
  private wasLive = false;
  private reconnect: ReturnType<typeof setTimeout> | null = null;

  get connection(): Connection {
    return this.state;
  }

  watch = (call: () => void): (() => void) => {
    this.watchers.add(call);
    return () => this.watchers.delete(call);
  };

  begin(): void {
    if (this.begun) return;
    this.begun = true;
    this.connect();
    setInterval(() => this.beat(), ASK_MS);
    const again = () => {
      if (this.state === "lost") this.now();
    };
    addEventListener("online", again);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      // Nothing was asked while nobody looked: that is no silence of the server.
      this.heardAt = performance.now();
      this.beat();
      again();
    });
  }

  follow(asked: Asked, follower: Follower): () => void {
    const id = `s${++this.counter}`;
    const entry = { asked: { ...asked }, follower };
    this.followers.set(id, entry);
    this.ask(id, entry.asked);
    return () => {
      this.followers.delete(id);
      this.say({ type: "unsubscribe", id });
    };
  }

  /** Tries at once. */
  now(): void {
    if (this.reconnect !== null) clearTimeout(this.reconnect);
    this.connect();
  }

  private connect(): void {
    this.reconnect = null;
    const old = this.socket;
    this.socket = null;
    old?.close();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
    this.socket = socket;
    socket.onopen = () => {
      if (this.socket !== socket) return;
      this.tries = 0;
      this.heard();
      for (const [id, { asked }] of this.followers) this.ask(id, asked);
      if (this.wasLive) for (const { follower } of this.followers.values()) follower.onGap?.();
      this.wasLive = true;
    };
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.heard();
      this.take(JSON.parse(String(data)) as ServerFrame);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.become("lost");
      const wait = BACKOFF[Math.min(this.tries++, BACKOFF.length - 1)] as number;
      this.reconnect = setTimeout(() => this.connect(), wait);
    };
  }

  private take(frame: ServerFrame): void {
    if (frame.type === "heartbeat") hearClock(Date.parse(frame.at));
    if (!("id" in frame) || frame.id === null) return;
    const entry = this.followers.get(frame.id);
    if (entry === undefined) return;
    if ("cursor" in frame) entry.asked.after = frame.cursor;
    if (frame.type === "resync") entry.follower.onGap?.();
    else entry.follower.onFrame(frame as Extract<ServerFrame, { id: string }>);
  }

  private ask(id: string, asked: Asked): void {
    this.say({ type: "subscribe", id, ...asked });
  }

  private say(frame: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  private heard(): void {
    this.heardAt = performance.now();
    this.become("live");
  }

  private beat(): void {
    if (document.hidden || this.socket === null) return;
    const silent = performance.now() - this.heardAt;
    if (this.state !== "connecting" && this.state !== "lost") {
      if (silent > DEAD_MS) {
        this.become("lost");
        this.connect();
        return;
      }
      if (silent > SILENT_MS) this.become("stale");
    }
    this.say({ type: "ping" });
  }

  private become(state: Connection): void {
    if (state === this.state) return;
    this.state = state;
    for (const call of this.watchers) call();
  }
}

export const live = new Live();

export function useConnection(): Connection {
  return useSyncExternalStore(live.watch, () => live.connection);
}
