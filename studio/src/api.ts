/** The server: what is asked once, and the sockets. */

import type { Kind, Message, Model, Parameter } from "./types";

/** Beyond loopback the page's address has a token behind its #, which is never sent to a server by itself. */
const token = (() => {
  const found = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token") ?? "";
  if (found) sessionStorage.setItem("token", found);
  return found;
})();

export const origin = location.origin;

function withToken(path: string): string {
  return token ? `${path}${path.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}` : path;
}

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(path, token ? { headers: { authorization: `Bearer ${token}` } } : {});
  const body = await answer.json();
  if (!answer.ok) throw new Error(body?.error?.message ?? `the server answered ${answer.status}`);
  return body as T;
}

export interface Server {
  models: Model[];
  base_url: string | null; // null: a server of the page's own
}

export const models = () => get<Server>("/api/models");
export const parameters = async (id: string) =>
  (await get<{ parameters: Parameter[] }>(`/api/models/${encodeURIComponent(id)}`)).parameters;

export function socket(path: string): WebSocket {
  const ws = new WebSocket(withToken(`${origin.replace(/^http/, "ws")}${path}`));
  ws.binaryType = "arraybuffer";
  return ws;
}

export interface Order {
  model: string;
  params: Record<string, unknown>;
  kind: Kind;
  text?: string;
  content?: Blob;
}

/** Call a model; the function that comes back stops it. */
export function run(order: Order, onMessage: (message: Message) => void, onEnd: (error?: string) => void): () => void {
  const ws = socket("/api/run");
  let ended = false;
  const end = (error?: string) => {
    if (ended) return;
    ended = true;
    onEnd(error);
  };
  ws.onopen = async () => {
    const { content, ...rest } = order;
    ws.send(JSON.stringify({ ...rest, content: content !== undefined }));
    if (content) ws.send(await content.arrayBuffer());
  };
  ws.onmessage = (event) => {
    const message = JSON.parse(event.data as string) as Message;
    if ("error" in message && message.error && !("outputs" in message)) end((message.error as { message: string }).message);
    else if ("done" in message) {
      onMessage(message);
      end();
    } else if (!("heartbeat" in message)) onMessage(message);
  };
  ws.onclose = () => end(ended ? undefined : "the connection was closed");
  return () => {
    end();
    ws.close();
  };
}
