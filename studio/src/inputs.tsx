/** What goes in: a text, a file that is dropped or chosen, a sound that is spoken. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Kind, Parameter } from "./types";

export const KINDS: Kind[] = ["text", "image", "audio", "video"];
export const kindOf = (file: File): Kind => KINDS.find((kind) => file.type.startsWith(`${kind}/`)) ?? "text";

interface DropProps {
  kinds: Kind[];
  file: File | null;
  set: (file: File | null, problem?: string) => void;
}

const MOST_BYTES = 48 << 20;

export function Drop({ kinds, file, set }: DropProps) {
  const chooser = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = (chosen: File | undefined) => {
    if (!chosen) return;
    const kind = kindOf(chosen);
    if (!kinds.includes(kind)) set(null, `${chosen.name} is ${kind === "text" ? "no picture, sound or video" : `of type ${kind}`}; this model takes ${kinds.join(", ")}.`);
    else if (chosen.size > MOST_BYTES) set(null, `${chosen.name} has ${(chosen.size / (1 << 20)).toFixed(0)} MiB; at most 48 can be sent.`);
    else set(chosen);
  };
  useEffect(() => {
    const paste = (event: ClipboardEvent) => take(event.clipboardData?.files[0]);
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  });
  return (
    <div
      class={`drop${over ? " over" : ""}`}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer?.files[0]); }}
    >
      <button type="button" onClick={() => chooser.current?.click()}>
        {file ? file.name : `Choose or drop ${kinds.map((kind) => ({ image: "a picture", audio: "a sound", video: "a video", text: "a text" })[kind]).join(" or ")}`}
      </button>
      <input
        ref={chooser} type="file" hidden aria-label="File" accept={kinds.map((kind) => `${kind}/*`).join(",")}
        onChange={(event) => { take(event.currentTarget.files?.[0]); event.currentTarget.value = ""; }}
      />
      {kinds.includes("audio") && <Recorder set={set} />}
    </div>
  );
}

function Recorder({ set }: { set: DropProps["set"] }) {
  const [recorder, setRecorder] = useState<MediaRecorder | null>(null);
  const start = async () => {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const made = new MediaRecorder(stream);
      const pieces: Blob[] = [];
      made.ondataavailable = (event) => pieces.push(event.data);
      made.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        set(new File(pieces, "recording.webm", { type: "audio/webm" }));
        setRecorder(null);
      };
      made.start();
      setRecorder(made);
    } catch (error) {
      set(null, `The microphone cannot be used: ${(error as Error).message}`);
    }
  };
  return (
    <button type="button" class="record" aria-pressed={recorder !== null} onClick={() => (recorder ? recorder.stop() : start())}>
      {recorder ? "Stop recording" : "Record"}
    </button>
  );
}

interface ParametersProps {
  parameters: Parameter[];
  values: Record<string, string>;
  set: (values: Record<string, string>) => void;
}

export function Parameters({ parameters, values, set }: ParametersProps) {
  const shown = parameters.filter((one) => ["str", "int", "float", "bool"].includes(one.type));
  if (!shown.length) return null;
  return (
    <details class="parameters">
      <summary>Parameters</summary>
      <div>
        {shown.map((one) => (
          <label>
            {one.name}
            <input
              value={values[one.name] ?? ""} placeholder={one.default || one.type} title={one.description || one.type}
              inputMode={one.type === "int" || one.type === "float" ? "decimal" : "text"}
              onInput={(event) => set({ ...values, [one.name]: event.currentTarget.value })}
            />
          </label>
        ))}
      </div>
    </details>
  );
}

/** Read what was typed as the parameters' types say; what is no number stays a text, and the model says so. */
export function typed(parameters: Parameter[], values: Record<string, string>): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const { name, type } of parameters) {
    const text = values[name]?.trim();
    if (!text) continue;
    const number = Number(text);
    if ((type === "int" || type === "float") && !Number.isNaN(number)) found[name] = number;
    else if (type === "bool") found[name] = ["true", "1", "yes"].includes(text.toLowerCase());
    else found[name] = text;
  }
  return found;
}
