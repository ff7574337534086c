/** How answers are shown. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { boxed, draw, maskOf, masksOf, valueOf, type Shown } from "./draw";
import type { Concept, Data, Frame, Region } from "./types";

const percent = (value = 0) => `${(value * 100).toFixed(1)} %`;

export function Concepts({ concepts }: { concepts: Concept[] }) {
  return (
    <ol class="concepts">
      {concepts.slice(0, 20).map((concept) => (
        <li>
          <span>{concept.name}</span>
          <meter min={0} max={1} value={concept.value ?? 0} aria-label={concept.name} />
          <output>{percent(concept.value)}</output>
        </li>
      ))}
    </ol>
  );
}

export function Switches({ shown, set, masks }: { shown: Shown; set: (shown: Shown) => void; masks: boolean }) {
  return (
    <div class="switches">
      <label>
        <input type="checkbox" checked={shown.boxes} onChange={() => set({ ...shown, boxes: !shown.boxes })} /> Boxes
      </label>
      {masks && (
        <label>
          <input type="checkbox" checked={shown.masks} onChange={() => set({ ...shown, masks: !shown.masks })} /> Masks
        </label>
      )}
      <label>
        Confidence from
        <input
          type="range" min={0} max={1} step={0.01} value={shown.least}
          onInput={(event) => set({ ...shown, least: Number(event.currentTarget.value) })}
        />
        <b>{percent(shown.least)}</b>
      </label>
    </div>
  );
}

export const ALL: Shown = { boxes: true, masks: true, least: 0 };

/** A picture with what was found in it. */
export function Found({ url, data }: { url: string; data: Data }) {
  const [shown, setShown] = useState(ALL);
  const [masks, setMasks] = useState(new Map<Region, HTMLCanvasElement>());
  const canvas = useRef<HTMLCanvasElement>(null);
  const regions = data.regions ?? [];
  useEffect(() => {
    let wanted = true;
    masksOf(data).then((made) => wanted && setMasks(made));
    return () => { wanted = false; };
  }, [data]);
  const paint = () => canvas.current && draw(canvas.current, regions, shown, masks);
  useEffect(() => {
    paint();
    const watch = new ResizeObserver(paint);
    if (canvas.current) watch.observe(canvas.current);
    return () => watch.disconnect();
  });
  return (
    <figure class="found">
      <div class="stage">
        <img src={url} alt="The picture that was sent" onLoad={paint} />
        <canvas ref={canvas} aria-hidden="true" />
      </div>
      <Switches shown={shown} set={setShown} masks={regions.some(maskOf)} />
      <figcaption>
        {regions.filter((region) => valueOf(region) >= shown.least).length} found
      </figcaption>
    </figure>
  );
}

/** A video with what was found in its frames, at their times. */
export function Film({ url, frames }: { url: string; frames: Frame[] }) {
  const [shown, setShown] = useState(ALL);
  const video = useRef<HTMLVideoElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const kept = useRef(frames);
  const how = useRef(shown);
  kept.current = frames;
  how.current = shown;
  useEffect(() => {
    let running = true;
    const step = () => {
      if (!running) return;
      if (video.current && canvas.current) {
        const now = video.current.currentTime;
        const frame = kept.current.filter((one) => one.time <= now + 0.05).at(-1) ?? kept.current[0];
        draw(canvas.current, frame?.outputs?.[0]?.data?.regions ?? [], how.current);
      }
      requestAnimationFrame(step);
    };
    step();
    return () => { running = false; };
  }, []);
  return (
    <figure class="found">
      <div class="stage">
        <video ref={video} src={url} controls muted loop autoPlay playsInline aria-label="The video that was sent" />
        <canvas ref={canvas} aria-hidden="true" />
      </div>
      <Switches shown={shown} set={setShown} masks={false} />
      <figcaption>{frames.length} frames</figcaption>
    </figure>
  );
}

/** Sounds, pictures and vectors that a model made, and all that has no picture of its own. */
export function Made({ data }: { data: Data }) {
  const picture = data.image?.base64;
  const sound = data.audio?.base64;
  const vector = data.embeddings?.[0]?.vector;
  return (
    <>
      {data.text?.raw && <p class="said">{data.text.raw}</p>}
      {picture && <img class="made" src={`data:image/png;base64,${picture}`} alt="The picture that was made" />}
      {sound && <audio controls autoPlay src={`data:audio/wav;base64,${sound}`} aria-label="The sound that was made" />}
      {data.concepts?.length ? <Concepts concepts={data.concepts} /> : null}
      {data.regions?.length && !data.regions.some(boxed) ? <p>{data.regions.length} regions</p> : null}
      {vector && <Vector vector={vector} />}
    </>
  );
}

function Vector({ vector }: { vector: number[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !canvas.current) return;
    canvas.current.width = vector.length;
    canvas.current.height = 1;
    const most = Math.max(...vector.map(Math.abs)) || 1;
    vector.forEach((value, at) => {
      const strength = Math.round((255 * Math.abs(value)) / most);
      context.fillStyle = value >= 0 ? `rgb(${strength} ${Math.round(strength * 0.6)} 40)` : `rgb(40 ${Math.round(strength * 0.7)} ${strength})`;
      context.fillRect(at, 0, 1, 1);
    });
  }, [vector]);
  const length = useMemo(() => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)), [vector]);
  return (
    <figure>
      <canvas ref={canvas} class="vector" role="img" aria-label={`A vector of ${vector.length} numbers`} />
      <figcaption>{vector.length} numbers, length {length.toFixed(3)}</figcaption>
    </figure>
  );
}
