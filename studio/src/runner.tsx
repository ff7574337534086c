/** One model: what goes in, what comes out, and the same call as code. */

import { useEffect, useRef, useState } from "preact/hooks";
import { parameters as lookUp, run } from "./api";
import { Camera } from "./camera";
import { Code, type Call } from "./code";
import { boxed, maskOf } from "./draw";
import { Drop, kindOf, Parameters, typed } from "./inputs";
import { taskOf } from "./tasks";
import type { Data, Frame, Kind, Message, Model, Parameter, Prediction } from "./types";
import { Film, Found, Made } from "./views";

interface Times {
  began: number;
  first?: number;
  ended?: number;
  pieces: number;
  tokens?: number;
}

const EXAMPLES: [RegExp, string][] = [
  [/^text-to-image/, "a large red circle on the left and a small blue star on the right"],
  [/^text-to-audio/, "The river turns the mill."],
  [/^text-to-text/, "Name three rivers of France."],
  [/^multimodal/, "What is in this picture?"],
  [/./, "What a lovely day!"],
];

export function Runner({ model, baseUrl }: { model: Model; baseUrl: string | null }) {
  const files = model.inputs.filter((kind): kind is Kind => kind !== "text");
  const takesText = model.inputs.includes("text") || !model.inputs.length;
  if (files.includes("image") && !files.includes("video") && model.task.startsWith("visual")) files.push("video");
  const [text, setText] = useState(takesText ? EXAMPLES.find(([pattern]) => pattern.test(model.task))![1] : "");
  const [file, setFile] = useState<File | null>(null);
  const [known, setKnown] = useState<Parameter[]>([]);
  const [values, setValues] = useState<Record<string, string>>({});
  const [said, setSaid] = useState("");
  const [prediction, setPrediction] = useState<Prediction | null>(null);
  const [frames, setFrames] = useState<Frame[]>([]);
  const [problem, setProblem] = useState("");
  const [times, setTimes] = useState<Times | null>(null);
  const [call, setCall] = useState<Call | null>(null);
  const [sentUrl, setSentUrl] = useState("");
  const [raw, setRaw] = useState<unknown[]>([]);
  const stop = useRef<(() => void) | null>(null);
  const entered = useRef(text); // what was typed last, for a key that comes before the page is drawn again
  const type = (typed: string) => { entered.current = typed; setText(typed); };
  const running = times !== null && times.ended === undefined;

  useEffect(() => { lookUp(model.id).then(setKnown, () => setKnown([])); }, [model.id]);
  useEffect(() => () => stop.current?.(), []);
  useEffect(() => () => { if (sentUrl) URL.revokeObjectURL(sentUrl); }, [sentUrl]);

  const params = typed(known, values);
  const ready = file !== null || (takesText && text.trim() !== "" && !(files.length && model.inputs.length > 1 && model.task.startsWith("multimodal")));

  const start = () => {
    if (running || !ready) return;
    const text = entered.current;
    const kind: Kind = file ? kindOf(file) : "text";
    const question = takesText && (!file || model.inputs.length > 1) ? text : "";
    const began = performance.now();
    setSaid(""); setPrediction(null); setFrames([]); setProblem(""); setRaw([]);
    setSentUrl(file ? URL.createObjectURL(file) : "");
    setTimes({ began, pieces: 0 });
    const tokens = model.outputs.includes("text") && kind !== "video";
    setCall({ model: model.id, url: model.url, kind, text: question, file: file?.name, mime: file?.type, params, tokens, baseUrl });
    stop.current = run(
      { model: model.id, params, kind, text: question, content: file ?? undefined },
      (message: Message) => {
        const now = performance.now();
        if ("done" in message) {
          setTimes((before) => before && { ...before, tokens: message.done.completion_tokens || before.pieces });
          return;
        }
        setTimes((before) => before && { ...before, first: before.first ?? now, pieces: before.pieces + 1 });
        setRaw((before) => [...before.slice(-199), message]);
        if ("text" in message) setSaid((before) => before + message.text);
        else if ("frame" in message) setFrames((before) => [...before, message.frame]);
        else setPrediction(message as Prediction);
      },
      (error) => {
        setTimes((before) => before && { ...before, ended: performance.now() });
        if (error) setProblem(error);
      },
    );
  };
  const cancel = () => { stop.current?.(); stop.current = null; };

  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start();
      if (event.key === "Escape" && running) cancel();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  });

  const data: Data | undefined = prediction?.outputs?.[0]?.data;
  const inPicture = data?.regions?.some((region) => boxed(region) || maskOf(region)) && call?.kind === "image";
  return (
    <main id="main" class="runner">
      <header>
        <h1>{model.title}</h1>
        <p class="task">{taskOf(model.task)} <code>{model.id}</code></p>
        <p>{model.description}</p>
        {model.weak_at && <p class="weak"><strong>Bad at:</strong> {model.weak_at}</p>}
      </header>
      <section aria-label="Input" class="input">
        {takesText && (
          <label class="text">
            {files.length && model.inputs.length > 1 ? "Text or question" : "Text"}
            <textarea rows={3} value={text} onInput={(event) => type(event.currentTarget.value)} />
          </label>
        )}
        {files.length > 0 && <Drop kinds={files} file={file} set={(chosen, trouble = "") => { setFile(chosen); setProblem(trouble); }} />}
        <Parameters parameters={known} values={values} set={setValues} />
        <div class="actions">
          <button type="button" class="primary" disabled={running || !ready} onClick={start}>Run</button>
          {running && <button type="button" onClick={cancel}>Stop</button>}
          <kbd>Ctrl Enter</kbd>
        </div>
      </section>
      {files.includes("image") && model.inputs.length === 1 && <Camera model={model.id} params={params} />}
      {times && (
        <section class="output" aria-label="Answer" aria-busy={running}>
          {problem && <p class="problem" role="alert">{problem}</p>}
          {said && <p class="said" aria-live="polite">{said}{running && <span class="caret" />}</p>}
          {frames.length > 0 && sentUrl && <Film url={sentUrl} frames={frames} />}
          {data && inPicture && sentUrl && <Found url={sentUrl} data={data} />}
          {data && <Made data={data} />}
          <Numbers times={times} text={said !== ""} />
          {raw.length > 0 && (
            <details>
              <summary>Raw JSON</summary>
              <pre tabIndex={0}>{JSON.stringify(raw.length === 1 ? raw[0] : raw, shortened, 2)}</pre>
            </details>
          )}
          {call && <Code call={call} />}
        </section>
      )}
      {!times && problem && <p class="problem" role="alert">{problem}</p>}
    </main>
  );
}

function Numbers({ times, text }: { times: Times; text: boolean }) {
  const [, again] = useState(0);
  useEffect(() => {
    if (times.ended !== undefined) return;
    const timer = setInterval(() => again((count) => count + 1), 100);
    return () => clearInterval(timer);
  }, [times.ended]);
  const now = times.ended ?? performance.now();
  const tokens = times.tokens ?? times.pieces;
  const making = times.first === undefined ? 0 : (now - times.first) / 1000;
  return (
    <dl class="numbers">
      <div><dt>{text ? "first token" : "first answer"}</dt><dd>{times.first === undefined ? "…" : `${(times.first - times.began).toFixed(0)} ms`}</dd></div>
      {text && <div><dt>tokens</dt><dd>{tokens}</dd></div>}
      {text && <div><dt>tokens a second</dt><dd>{making > 0 ? (Math.max(tokens - 1, 0) / making).toFixed(1) : "…"}</dd></div>}
      <div><dt>in all</dt><dd>{(now - times.began).toFixed(0)} ms</dd></div>
    </dl>
  );
}

/** Long encoded files are not what one wants to read. */
function shortened(_key: string, value: unknown): unknown {
  if (typeof value === "string" && value.length > 300) return `${value.slice(0, 60)}… (${value.length} characters)`;
  if (Array.isArray(value) && value.length > 40 && typeof value[0] === "number") return [...value.slice(0, 8), `… ${value.length} numbers`];
  return value;
}
