import type http from "node:http";
import { sendFile, serve } from "./server.ts";

/** What the stand-in for the Hub does with a file; counted from the first request for its content (not its size) on. */
export interface ServedFile {
  bytes: Uint8Array;
  /** Size in the listing, when it should lie. */
  listedSize?: number;
  /** What is sent instead of `bytes`, whose size was announced. */
  sent?: Uint8Array;
  /** Breaks the n-th transfer after so many bytes. */
  stopAfterBytes?: number[];
  /** Answers the n-th transfer with this status. */
  statuses?: number[];
}

export interface HubServer {
  url: string;
  /** "GET path range" of every request. */
  requests: string[];
  tokens: (string | undefined)[];
  files: Record<string, ServedFile>;
  /** Answers everything with this status. */
  refuseWith?: number;
}

/** Speaks as much of the Hub's interface as a download needs: the tree of a revision, and files by ranges. */
export async function serveHub(files: Record<string, ServedFile | Uint8Array>): Promise<HubServer> {
  const hub: HubServer = {
    url: "",
    requests: [],
    tokens: [],
    files: Object.fromEntries(
      Object.entries(files).map(([path, file]) => [path, file instanceof Uint8Array ? { bytes: file } : file]),
    ),
  };
  const transfers: Record<string, number> = {};
  hub.url = await serve((request, response) => {
    hub.requests.push(`${request.url} ${request.headers.range ?? ""}`.trim());
    hub.tokens.push(request.headers.authorization);
    if (hub.refuseWith) return json(response, hub.refuseWith, { error: "refused" });
    const url = request.url ?? "";
    if (url.startsWith("/api/models/owner/model/tree/main?")) {
      const listing = Object.entries(hub.files).map(([path, { bytes, listedSize }]) => ({
        type: "file",
        path,
        size: listedSize ?? bytes.length,
        oid: oid(bytes),
      }));
      return json(response, 200, listing);
    }
    const path = /^\/owner\/model\/resolve\/main\/(.+)$/.exec(url)?.[1] ?? "";
    const file = hub.files[path];
    if (!file) return json(response, 404, { error: "not found" });
    const headers = { etag: `"${oid(file.bytes)}"` };
    if (request.headers.range === "bytes=0-0") return sendFile(request, response, file.bytes, { headers });
    const transfer = transfers[path] ?? 0;
    transfers[path] = transfer + 1;
    const status = file.statuses?.[transfer];
    if (status) return json(response, status, { error: "trouble" });
    const stop = file.stopAfterBytes?.[transfer];
    sendFile(request, response, file.sent ?? file.bytes, {
      headers,
      ...(stop !== undefined && { stopAfterBytes: stop }),
    });
  });
  return hub;
}

function json(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function oid(bytes: Uint8Array): string {
  return bytes.reduce((hash, byte) => (Math.imul(hash, 31) + byte) >>> 0, 7).toString(16);
}
