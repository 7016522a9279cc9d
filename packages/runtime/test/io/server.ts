import http from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A server on 127.0.0.1 that goes when the test ends. @returns its URL */
export async function serve(handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers as a file server does, with 206 to a range. @param stopAfterBytes breaks the connection then */
export function sendFile(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  bytes: Uint8Array,
  {
    headers = {},
    stopAfterBytes = Number.POSITIVE_INFINITY,
  }: { headers?: Record<string, string>; stopAfterBytes?: number } = {},
): void {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const first = range ? Number(range[1]) : 0;
  const last = range?.[2] ? Math.min(Number(range[2]), bytes.length - 1) : bytes.length - 1;
  if (range && first >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const body = bytes.subarray(first, last + 1);
  const contentRange = range ? { "content-range": `bytes ${first}-${last}/${bytes.length}` } : {};
  response.writeHead(range ? 206 : 200, { ...headers, ...contentRange, "content-length": body.length });
  if (body.length <= stopAfterBytes) response.end(body);
  else response.write(body.subarray(0, stopAfterBytes), () => setTimeout(() => response.destroy(), 20));
}
