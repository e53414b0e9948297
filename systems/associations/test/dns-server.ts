/** A name server on loopback that answers from a table; whoever is not in it does not exist. */
import { createSocket } from "node:dgram";

export type Zone = Record<
  string,
  { mx?: [priority: number, exchange: string][]; a?: string[]; code?: "refused" | "servfail"; silent?: boolean }
>;

export interface DnsServer {
  address: string;
  /** Questions as `TYPE name`. */
  asked: string[];
  close(): Promise<void>;
}

const TYPES: Readonly<Record<number, string>> = { 1: "A", 15: "MX", 28: "AAAA" };
const CODES = { ok: 0, servfail: 2, missing: 3, refused: 5 };

export async function startDns(zone: Zone): Promise<DnsServer> {
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, end } = readQuestion(query);
    asked.push(`${TYPES[type] ?? type} ${name}`);
    const entry = zone[name];
    if (entry?.silent === true) return;
    const code = entry === undefined ? CODES.missing : entry.code === undefined ? CODES.ok : CODES[entry.code];
    const data =
      code !== CODES.ok
        ? []
        : type === 15
          ? (entry?.mx ?? []).map(mxData)
          : type === 1
            ? (entry?.a ?? []).map(aData)
            : [];
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(data.length, 6);
    const answers = data.map((bytes) => {
      const head = Buffer.alloc(12);
      head.writeUInt16BE(0xc00c, 0);
      head.writeUInt16BE(type, 2);
      head.writeUInt16BE(1, 4);
      head.writeUInt32BE(60, 6);
      head.writeUInt16BE(bytes.length, 10);
      return Buffer.concat([head, bytes]);
    });
    socket.send(Buffer.concat([header, query.subarray(12, end), ...answers]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function nameData(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}

function mxData([priority, exchange]: [number, string]): Buffer {
  return Buffer.concat([Buffer.from([priority >> 8, priority & 255]), nameData(exchange)]);
}

function aData(address: string): Buffer {
  return Buffer.from(address.split(".").map(Number));
}
