/** The same call as Python, command line and curl. */

import { useState } from "preact/hooks";
import { origin } from "./api";
import type { Kind } from "./types";

export interface Call {
  model: string;
  url?: string;
  kind: Kind;
  text: string;
  file?: string; // its name
  mime?: string;
  params: Record<string, unknown>;
  tokens: boolean; // the answer comes in pieces
  baseUrl: string | null;
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
const python = (value: unknown): string =>
  value === null ? "None" : value === true ? "True" : value === false ? "False" :
  Array.isArray(value) ? `[${value.map(python).join(", ")}]` :
  typeof value === "object" ? `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${python(v)}`).join(", ")}}` :
  JSON.stringify(value);

function named(call: Call): string {
  return call.url && !call.url.includes("/headrace/local/") ? python(call.url) : `model_id=${python(call.model)}`;
}

export function asPython(call: Call): string {
  const client = call.baseUrl === null ? "headrace.Client.local()" : `headrace.Client(base_url=${python(call.baseUrl)})`;
  const params = Object.keys(call.params).length ? `, inference_params=${python(call.params)}` : "";
  const question = call.file && call.text ? call.text : "";
  let body: string;
  if (call.kind === "video" && call.file) {
    body = `async with model.stream_frames(video(${python(call.file)}, fps=5)${params}) as frames:
            async for frame in frames:
                print(round(frame.time, 2), frame.regions or frame.concepts)`;
  } else if (question) {
    body = `item = headrace.Input.multimodal(image_bytes=open(${python(call.file)}, "rb").read(), text=${python(question)})
        print((await model.predict(item${params})).text)`;
  } else if (call.tokens) {
    const start = call.file ? `generate_by_filepath(${python(call.file)}, ${python(call.kind)}` : `generate(${python(call.text)}`;
    body = `async with model.${start}${params}) as stream:
            async for piece in stream:
                print(piece.text, end="", flush=True)`;
  } else if (call.file) {
    body = `print(await model.predict_by_filepath(${python(call.file)}, ${python(call.kind)}${params}))`;
  } else body = `print(await model.predict(${python(call.text)}, "text"${params}))`;
  const more = call.kind === "video" && call.file ? "from headrace.sources import video\n" : "";
  return `import asyncio

import headrace
${more}

async def main() -> None:
    async with ${client} as client:
        model = client.model(${named(call)})
        ${body}


asyncio.run(main())
`;
}

export function asCommand(call: Call): string {
  const server = call.baseUrl === null ? "--local" : `--base_url ${quoted(call.baseUrl)}`;
  const params = Object.keys(call.params).length ? ` --inference_params ${quoted(JSON.stringify(call.params))}` : "";
  const name = call.tokens ? "generate" : call.kind === "video" ? "stream" : "predict";
  const input = call.file
    ? `--file_path ${quoted(call.file)}${call.text ? ` --bytes ${quoted(call.text)}` : ""}`
    : `--bytes ${quoted(call.text)} --input_type text`;
  const model = call.url && !call.url.includes("/headrace/local/") ? `--model_url ${quoted(call.url)}` : `--model_id ${quoted(call.model)}`;
  return `headrace ${name} ${server} ${model} ${input}${params}\n`;
}

export function asCurl(call: Call): string {
  const query = new URLSearchParams();
  if (Object.keys(call.params).length) query.set("params", JSON.stringify(call.params));
  if (call.file && call.text) query.set("text", call.text);
  const address = `${origin}/api/predict/${encodeURIComponent(call.model)}${query.size ? `?${query}` : ""}`;
  const body = call.file ? `--data-binary @${quoted(call.file)}` : `--data-raw ${quoted(call.text)}`;
  const type = call.file ? call.mime || `${call.kind}/*` : "text/plain";
  return `curl ${quoted(address)} -H ${quoted(`content-type: ${type}`)} ${body}\n`;
}

const FORMS = { Python: asPython, "Command line": asCommand, curl: asCurl } as const;

export function Code({ call }: { call: Call }) {
  const [form, setForm] = useState<keyof typeof FORMS>("Python");
  const [copied, setCopied] = useState(false);
  const text = FORMS[form](call);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <section class="code" aria-label="The same call as code">
      <div class="tabs" role="group" aria-label="Form">
        {(Object.keys(FORMS) as (keyof typeof FORMS)[]).map((name) => (
          <button type="button" aria-pressed={name === form} onClick={() => setForm(name)}>
            {name}
          </button>
        ))}
        <button type="button" class="copy" onClick={copy}>
          {copied ? "Copied" : "Copy"}
        </button>
      </div>
      <pre tabIndex={0}>{text}</pre>
    </section>
  );
}
