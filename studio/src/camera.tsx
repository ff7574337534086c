/** The camera through a model: frames over one WebSocket, boxes as they come. */

import { useEffect, useRef, useState } from "preact/hooks";
import { socket } from "./api";
import { draw, type Shown } from "./draw";
import type { Prediction, Region } from "./types";
import { ALL, Concepts, Switches } from "./views";

const WIDTH = 640;
const FRAMES_A_SECOND = 15;

interface Answer {
  frame: number;
  received: number;
  dropped: number;
  errors: number;
  in_flight: number;
  prediction: Prediction;
}

export function Camera({ model, params }: { model: string; params: Record<string, unknown> }) {
  const video = useRef<HTMLVideoElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const regions = useRef<Region[]>([]);
  const how = useRef<Shown>(ALL);
  const [shown, setShown] = useState(ALL);
  const [on, setOn] = useState(false);
  const [problem, setProblem] = useState("");
  const [counts, setCounts] = useState({ received: 0, dropped: 0, errors: 0, latency: 0, rate: 0 });
  const [answer, setAnswer] = useState<Prediction | null>(null);
  how.current = shown;

  useEffect(() => {
    if (!on) return;
    let stream: MediaStream | null = null;
    let ended = false;
    let timer = 0;
    const sent = new Map<number, number>();
    const times: number[] = [];
    const ws = socket("/api/camera");
    const grab = document.createElement("canvas");
    let number = 0;
    const fail = (text: string) => { setProblem(text); setOn(false); };

    ws.onopen = async () => {
      ws.send(JSON.stringify({ model, params, window: 2 }));
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { width: WIDTH } });
      } catch (error) {
        fail(`The camera cannot be used: ${(error as Error).message}`);
        return;
      }
      if (ended || !video.current) { stream.getTracks().forEach((track) => track.stop()); return; }
      video.current.srcObject = stream;
      await video.current.play();
      timer = window.setInterval(send, 1000 / FRAMES_A_SECOND);
    };
    const send = () => {
      const source = video.current;
      if (!source?.videoWidth || ws.readyState !== WebSocket.OPEN || ws.bufferedAmount > 1 << 20) return;
      grab.width = Math.min(WIDTH, source.videoWidth);
      grab.height = Math.round((source.videoHeight * grab.width) / source.videoWidth);
      grab.getContext("2d")!.drawImage(source, 0, 0, grab.width, grab.height);
      const mine = number++;
      sent.set(mine, performance.now());
      grab.toBlob(async (picture) => picture && ws.readyState === WebSocket.OPEN && ws.send(await picture.arrayBuffer()), "image/jpeg", 0.8);
    };
    ws.onmessage = (event) => {
      const message = JSON.parse(event.data as string) as Answer & { error?: { message: string }; heartbeat?: true };
      if (message.error) return fail(message.error.message);
      if (message.heartbeat || !message.prediction) return;
      const now = performance.now();
      times.push(now);
      while (times.length && times[0]! < now - 2000) times.shift();
      regions.current = message.prediction.outputs?.[0]?.data?.regions ?? [];
      setAnswer(message.prediction);
      setCounts({
        received: message.received, dropped: message.dropped, errors: message.errors,
        latency: now - (sent.get(message.frame) ?? now), rate: times.length / 2,
      });
      sent.delete(message.frame);
    };
    ws.onclose = () => !ended && fail("the connection was closed");
    const paint = () => {
      if (ended) return;
      if (canvas.current) draw(canvas.current, regions.current, how.current);
      requestAnimationFrame(paint);
    };
    paint();
    return () => {
      ended = true;
      clearInterval(timer);
      stream?.getTracks().forEach((track) => track.stop());
      ws.close();
      regions.current = [];
    };
  }, [on, model, JSON.stringify(params)]);

  const concepts = answer?.outputs?.[0]?.data?.concepts;
  return (
    <section class="camera" aria-label="Camera">
      <button type="button" class="primary" aria-pressed={on} onClick={() => { setProblem(""); setOn(!on); }}>
        {on ? "Stop the camera" : "Start the camera"}
      </button>
      {problem && <p class="problem" role="alert">{problem}</p>}
      {on && (
        <>
          <div class="stage">
            <video ref={video} muted playsInline aria-label="The camera" />
            <canvas ref={canvas} aria-hidden="true" />
          </div>
          <Switches shown={shown} set={setShown} masks={false} />
          <dl class="numbers">
            <div><dt>answers</dt><dd data-testid="camera-answers">{counts.received}</dd></div>
            <div><dt>a second</dt><dd>{counts.rate.toFixed(1)}</dd></div>
            <div><dt>latency</dt><dd>{counts.latency.toFixed(0)} ms</dd></div>
            <div><dt>dropped</dt><dd>{counts.dropped}</dd></div>
            <div><dt>failed</dt><dd>{counts.errors}</dd></div>
          </dl>
          {concepts?.length ? <Concepts concepts={concepts} /> : null}
        </>
      )}
    </section>
  );
}
