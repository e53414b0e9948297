/**
 * A small S3-compatible service on loopback: objects, parts, and signatures (version 4) checked with code of its own, as
 * strictly as the real ones. What it holds can be damaged, and it can be told to fail.
 */
import { createHash, createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface S3Server {
  url: string;
  key: string;
  secret: string;
  /** By path, as `/bucket/key`. */
  objects: Map<string, Buffer>;
  uploads: Map<string, Map<number, Buffer>>;
  /** Method and path of each request, in order. */
  seen: string[];
  /** Answers of the next requests, in the place of the right ones: a status, null to cut the connection, 0 to cut it in the body, 1 to say nothing, 2 to say no more after the head. */
  faults: (number | null)[];
  close(): Promise<void>;
}

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
const escaped = (text: string) =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** Null if the signature is right. */
function faultOf(request: IncomingMessage, url: URL, body: Buffer, key: string, secret: string): string | null {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)$/.exec(
      request.headers.authorization ?? "",
    );
  if (match === null) return "AuthorizationHeaderMalformed";
  const [, id, day, region, signed = "", signature] = match;
  if (id !== key) return "InvalidAccessKeyId";
  const headers = signed.split(";");
  for (const needed of ["host", "x-amz-date", "x-amz-content-sha256"])
    if (!headers.includes(needed)) return "AccessDenied";
  const claimed = request.headers["x-amz-content-sha256"] as string;
  if (claimed !== sha256(body)) return "XAmzContentSHA256Mismatch";
  const date = request.headers["x-amz-date"] as string;
  const query = [...url.searchParams].map(([name, value]) => `${escaped(name)}=${escaped(value)}`).sort();
  const canonical = [
    request.method,
    url.pathname
      .split("/")
      .map((part) => escaped(decodeURIComponent(part)))
      .join("/"),
    query.join("&"),
    ...headers.map((name) => `${name}:${String(request.headers[name]).trim()}`),
    "",
    signed,
    claimed,
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const derived = [day, region, "s3", "aws4_request"].reduce<string | Buffer>(
    (by, text) => hmac(by, text as string),
    `AWS4${secret}`,
  );
  const expected = hmac(derived, ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n")).toString("hex");
  return expected === signature ? null : "SignatureDoesNotMatch";
}

export async function startS3(): Promise<S3Server> {
  const server: S3Server = {
    url: "",
    key: "AKIDEXAMPLE",
    secret: randomUUID(),
    objects: new Map(),
    uploads: new Map(),
    seen: [],
    faults: [],
    close: async () => {
      http.closeAllConnections();
      http.close();
      await once(http, "close");
    },
  };
  const http = createServer((request, response) => void answer(server, request, response));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  server.url = `http://127.0.0.1:${(http.address() as { port: number }).port}`;
  return server;
}

async function answer(server: S3Server, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = Buffer.concat(parts);
  const url = new URL(request.url ?? "/", server.url);
  server.seen.push(`${request.method} ${request.url}`);
  const fault = server.faults.shift();
  if (fault === null) return void request.socket.destroy();
  const refuse = (status: number, code: string) =>
    response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`);
  if (fault === 1) return;
  if (fault === 2) return void response.writeHead(200, { "content-length": 1_000_000 }).write("x".repeat(1_000));
  if (fault === 0) {
    response.writeHead(200, { "content-length": 1_000_000 }).write("x".repeat(1_000));
    return void setTimeout(() => request.socket.destroy(), 20);
  }
  if (fault !== undefined) return void refuse(fault, fault === 503 ? "SlowDown" : "InternalError");
  const wrong = faultOf(request, url, body, server.key, server.secret);
  if (wrong !== null) return void refuse(403, wrong);
  const path = decodeURIComponent(url.pathname);
  if (!path.startsWith("/bucket/")) return void refuse(404, "NoSuchBucket");
  const upload = url.searchParams.get("uploadId");
  if (upload !== null || url.searchParams.has("uploads"))
    return multipart(server, request.method ?? "", path, url, upload, body, response);
  switch (request.method) {
    case "PUT":
      server.objects.set(path, body);
      return void response.writeHead(200, { etag: `"${sha256(body).slice(0, 32)}"` }).end();
    case "GET": {
      const found = server.objects.get(path);
      return void (found === undefined ? refuse(404, "NoSuchKey") : response.writeHead(200).end(found));
    }
    default:
      server.objects.delete(path);
      return void response.writeHead(204).end();
  }
}

function multipart(
  server: S3Server,
  method: string,
  path: string,
  url: URL,
  upload: string | null,
  body: Buffer,
  response: ServerResponse,
): void {
  const refuse = (code: string) => response.writeHead(400).end(`<Error><Code>${code}</Code></Error>`);
  if (upload === null) {
    const id = `${randomUUID()}&<`;
    server.uploads.set(id, new Map());
    const text = id.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    response
      .writeHead(200)
      .end(`<InitiateMultipartUploadResult><UploadId>${text}</UploadId></InitiateMultipartUploadResult>`);
    return;
  }
  const parts = server.uploads.get(upload);
  if (parts === undefined) return void refuse("NoSuchUpload");
  const tag = (part: Buffer | undefined) => `"${sha256(part ?? "").slice(0, 32)}"`;
  if (method === "PUT") {
    parts.set(Number(url.searchParams.get("partNumber")), body);
    response.writeHead(200, { etag: tag(body) }).end();
  } else if (method === "DELETE") {
    server.uploads.delete(upload);
    response.writeHead(204).end();
  } else {
    const listed = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]+)<\/ETag>/g)];
    if (
      listed.some(([, number, etag], at) => Number(number) !== at + 1 || tag(parts.get(at + 1)) !== etag) ||
      listed.length !== parts.size
    )
      return void refuse("InvalidPart");
    server.uploads.delete(upload);
    server.objects.set(path, Buffer.concat(listed.map((_, at) => parts.get(at + 1) as Buffer)));
    response.writeHead(200).end("<CompleteMultipartUploadResult/>");
  }
}
